"""The event loop of a server: uvloop's, that takes in every connection that waits, not one a round.

libuv accepts one connection each time round its loop (libuv#3696), so a server whose rounds take 50 ms for all who
are connected has twenty others a second come in, and a load balancer's probe waits in the kernel for seconds.
"""

import asyncio
import logging
import socket
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Final

import uvloop

__all__ = ["Acceptor", "Loop"]

AT_ONCE: Final = 256  # 20 ms or so, before those who are connected are heard again
RETRY_S: Final = 0.5

log = logging.getLogger(__name__)


class Loop(uvloop.Loop):
    """What `uvicorn.Config(loop=…)` is given."""

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **given: Any) -> Any:
        """A server on a socket that listens already accepts by itself; any other is uvloop's."""
        listener = given.get("sock")
        if listener is None or given.get("ssl") is not None:
            return await super().create_server(protocol_factory, host, port, **given)
        return Acceptor(self, listener, protocol_factory)


class Acceptor(asyncio.AbstractServer):
    """Makes connections of a listening socket until it is closed."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listener: socket.socket, factory: Callable[[], asyncio.Protocol]
    ) -> None:
        self._loop, self._listener, self._factory = loop, listener, factory
        self._opening: set[asyncio.Task[Any]] = set()
        self._is_closed = False
        listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Accept no more; the socket is its owner's to close."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Wait until what was accepted is a connection."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _listen(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                accepted, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no files or memory left: trying again at once would take the processor too
                log.error("No connection can be accepted for %s s: %s", RETRY_S, error.strerror)
                self._loop.remove_reader(self._listener)
                self._loop.call_later(RETRY_S, self._listen)
                return
            accepted.setblocking(False)
            if accepted.family in (socket.AF_INET, socket.AF_INET6):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                opening = _begun(self._loop.connect_accepted_socket(self._factory, accepted))
            except OSError as error:
                _forget(accepted, error)
                continue
            task = self._loop.create_task(self._open(accepted, opening))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket, opening: Awaitable[None]) -> None:
        try:
            await opening
        except OSError as error:
            _forget(accepted, error)


def _begun(opening: Coroutine[Any, Any, object]) -> Awaitable[None]:
    """The rest of what is begun now: a task would begin it a round later, in which everybody else is read."""
    awaited = opening.send(None)  # it waits for the transport to be there

    @types.coroutine
    def rest() -> Generator[Any, Any, None]:
        try:
            yield awaited
        except BaseException as error:
            opening.throw(error)  # it closes the transport, and raises it again
        yield from opening.__await__()

    return rest()


def _forget(accepted: socket.socket, error: OSError) -> None:
    """It is gone again."""
    log.debug("A connection could not be opened: %s", error)
    accepted.close()
