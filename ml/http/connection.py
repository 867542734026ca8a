"""One connection of a server: HTTP/1.1 by llhttp's rules, with an end to what a client may take of size and time.

A head, the trailers, and whatever else is no body (chunk sizes and their extensions, empty lines before a request)
have limits in bytes; ml.http.patience ends what takes too long.
"""

import asyncio
from collections import deque
from typing import Any, Final, cast

import httptools
import uvicorn

from ml.http.again import Again, Head, again_of
from ml.http.cycle import Cycle, refusal_of, scope_of
from ml.http.front import OBSERVE, SPARE, WHOLE, Quick, Server
from ml.http.heads import Headers, Refusal, mistake, refusal_of_error, target_of, without_offer
from ml.http.limits import ConnectionLimits
from ml.http.patience import Patience
from ml.http.places import Places
from ml.http.sizes import Sizes

__all__ = ["Connection"]

HELD_BYTES: Final = 64 * 1024  # of a body that its application did not ask for yet
LEFT_BYTES: Final = 16 * 1024 * 1024  # read over behind the last answer, or of a body that nobody asked for


class Connection(asyncio.Protocol):
    """`limits` and `places` come first, so that `partial(Connection, limits, places)` is what uvicorn is given."""

    def __init__(
        self,
        limits: ConnectionLimits,
        places: Places,
        config: uvicorn.Config,
        server_state: Server,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._limits, self._places = limits, places
        self._app: Any = config.loaded_app
        self._quick: Quick | None = getattr(self._app, "quick", None)
        self._server, self._app_state = server_state, app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)  # until the connection is made
        self._patience: Patience = cast(Patience, None)
        self._drained: asyncio.Event | None = None  # while the client doesn't take what is written
        # The requests: the one that is answered, those behind it, and the newest, whose body may still come.
        self._current: Cycle | None = None
        self._behind: deque[Cycle] = deque()
        self._newest: Cycle | None = None
        self._unstarted: Cycle | None = None  # its head is whole, and perhaps its body will be at once
        self._head: Head | None = None  # of the newest request
        self._again: Again | None = None  # by what another one like it is known
        self._url = b""
        self._headers: Headers = []
        self._is_in_head = self._is_offer = False
        self._sizes = Sizes(limits.head_bytes)
        self._left = 0
        self._is_paused = False
        # The end: nothing more is read, or nothing behind the newest request, and what is said then.
        self._is_deaf = self._is_last = False
        self._refusal: Refusal | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection where there is room."""
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)
        self._patience = Patience(self._limits, self._loop, self._transport, self._give_up_waiting)
        if not self._places.enter(self):
            self._refuse(503, f"The server has {self._places.most} connections, which is as many as it takes.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._server.connections.discard(self)
        self._places.leave(self)
        self._is_deaf = True
        self._patience.end()
        for cycle in (self._current, *self._behind):
            if cycle is not None:
                cycle.leave()
        self._behind.clear()
        self.resume_writing()

    def give_way(self) -> None:
        """End a spare connection that waits, for one that came after it."""
        self._refuse(503, f"The server has {self._places.most} connections, and others ask. Try again in a moment.")

    def shutdown(self) -> None:
        """Uvicorn's: answer what was asked, and end."""
        self._is_last = True
        if self._newest is None or self._newest.is_whole:
            self._is_deaf = True
        if self._newest is not None:
            self._newest.keeps = False
        if self._current is None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse what came; what is no HTTP is refused in its turn."""
        if self._is_deaf:
            self._read_over(len(data))
            return
        self._patience.hears()
        is_between = not self._is_in_head and (self._newest is None or self._newest.is_whole)
        body = self._again.body_in(data) if is_between and self._again is not None else None
        if body is not None and self._again is not None:
            self._patience.works()
            self._begin(self._again.head)
            self.on_body(body)
            self.on_message_complete()
        else:
            before = self._newest
            self._read(data)
            is_one = is_between and self._newest is not before and self._newest is not None and self._newest.is_whole
            self._again = again_of(data, self._head) if is_one and self._head is not None else None
        if self._unstarted is not None:  # its body still comes, or needs more than a short answer
            cycle, self._unstarted = self._unstarted, None
            self._start(cycle)

    def _read(self, data: bytes) -> None:
        self._sizes.feed(len(data))
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            if not self._is_deaf:
                self._refuse(*(self._refusal or refusal_of_error(error, data)))
        else:
            if not self._sizes.are_kept:
                self._refuse(*self._too_large())

    def _parse(self, data: bytes) -> None:
        """Feed the parser. It stops before the body of a request that offers another protocol, as Java's client does.

        No other is spoken here, so such a request is read again without the offer.
        """
        rest = memoryview(data)
        while True:
            try:
                self._parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                head = without_offer(
                    self._parser.get_method(), self._url, self._parser.get_http_version(), self._headers
                )
                rest = rest[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
                self._parser.feed_data(head)

    def eof_received(self) -> bool:
        """A client that sends no more may still read: it gets the answers to what it sent."""
        if self._is_deaf and self._current is None:
            return False
        if self._newest is not None and not self._newest.is_whole and not self._is_deaf:
            self._refuse(400, "The connection was ended before the body was whole.")
            return True
        self._is_last = self._is_deaf = True
        if self._newest is not None:
            self._newest.keeps = False
        return self._current is not None

    def pause_writing(self) -> None:
        """The client doesn't take what is written."""
        self._drained = self._drained or asyncio.Event()

    def resume_writing(self) -> None:
        """It does."""
        if self._drained is not None:
            self._drained.set()
            self._drained = None

    def on_message_begin(self) -> None:
        """A head begins."""
        self._is_in_head = True
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        """Some of the request's target."""
        self._url += url
        self._grow(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the head. Those behind the body are read over, as they could change what was decided."""
        self._grow(len(name) + len(value) + 4)
        if self._is_in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head is one that is refused."""
        if self._is_deaf:
            raise ValueError("nothing behind the last request is read")
        self._is_in_head = False
        self._sizes.begin()
        self._patience.works()
        method, version = self._parser.get_method(), self._parser.get_http_version()
        target = target_of(self._url)
        if refusal := mistake(method, version, target, self._headers):
            self._stop(refusal)
        self._is_offer = self._parser.should_upgrade()
        if self._is_offer or target is None:
            return
        if target.authority is not None:  # which is whom it asks, whatever stands in Host
            self._headers = [pair for pair in self._headers if pair[0] != b"host"] + [(b"host", target.authority)]
        keeps = version == "1.1" and self._parser.should_keep_alive()
        expects = version == "1.1" and any(name == b"expect" for name, _ in self._headers)
        self._head = Head(method, version, target, self._headers, keeps, expects)
        self._begin(self._head)

    def _begin(self, head: Head) -> None:
        """A request whose head is right."""
        state = self._app_state.copy()
        if not self._places.places(self):
            state[SPARE] = True
            self._places.asks(self)
        scope = scope_of(head.method, head.version, head.target, head.headers, state)
        self._is_last = self._is_last or not head.keeps
        cycle = self._newest = Cycle(self, scope, keeps=not self._is_last, expects=head.expects)
        if self._current is None:
            self._current = self._unstarted = cycle
        else:
            self._hold()
            self._behind.append(cycle)

    def on_body(self, body: bytes) -> None:
        """Some of the newest request's body."""
        self._sizes.piece(len(body))
        cycle = cast(Cycle, self._newest)
        if not cycle.is_answered:
            cycle.take(body)
            if len(cycle.body) > HELD_BYTES:
                self._hold()
        else:
            self._read_over(len(body))

    def on_message_complete(self) -> None:
        """The newest request is whole: answer it at once, where it is its turn and its application can."""
        self._sizes.begin()
        if self._is_offer:
            return
        cycle = cast(Cycle, self._newest)
        cycle.end()
        if self._is_last:
            self._is_deaf = True
        if cycle.is_answered:  # before, and what was left of its body was read over
            self._rest()
            return
        cycle.scope["state"][WHOLE] = True
        if cycle is not self._unstarted or self._quick is None or self._drained is not None:
            return
        if self._quick(cycle.scope, bytes(cycle.body), cycle.reply):
            self._unstarted = None

    def write(self, data: bytes) -> None:
        """Send bytes, where somebody is there."""
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken what was written."""
        if self._drained is not None:
            await self._drained.wait()

    def read_on(self) -> None:
        """Take more of what the client sends, where that was stopped."""
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    def _hold(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def break_off(self) -> None:
        """An answer broke off: nobody may take it for a whole one."""
        self._transport.abort()

    def answered(self, cycle: Cycle) -> None:
        """A request is answered as a whole: go on with what was sent behind it."""
        self._server.total_requests += 1
        self._current = None
        if self._transport.is_closing():
            return
        if not cycle.keeps:
            self._is_last = self._is_deaf = True
            self._behind.clear()
        if self._behind:
            self._current = self._behind.popleft()
            self._start(self._current)
            return
        self.read_on()
        if self._refusal is not None:
            self._say(self._refusal)
        elif cycle.is_whole:
            self._rest()
        elif self._is_last or cycle.expects:
            self._linger()  # one that waits to be asked for its body may send it now, or something else
        else:
            self._patience.waits()  # for the rest of a body that nobody reads

    def _start(self, cycle: Cycle) -> None:
        task = self._loop.create_task(cycle.run(self._app))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    def _rest(self) -> None:
        """Everything that was asked is answered."""
        if self._is_last:
            self._transport.close()
            return
        self._places.waits(self)
        if self._is_in_head:
            self._patience.waits()
        else:
            self._patience.rests()

    def _read_over(self, count: int) -> None:
        self._left += count
        if self._left > LEFT_BYTES:
            self._transport.abort()

    def _give_up_waiting(self) -> None:
        if self._is_in_head and not self._is_deaf:
            self._refuse(408, f"The head of the request did not arrive within {self._limits.head_timeout_s:g} s.")
        else:
            self._transport.abort()

    def _grow(self, count: int) -> None:
        if not self._sizes.fits(count):
            self._stop(self._too_large())

    def _too_large(self) -> Refusal:
        return Refusal(431, f"What is no body of the request is larger than {self._limits.head_bytes} bytes.")

    def _stop(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise ValueError(refusal.sentence)  # the parser hands it on as an error of its own

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer with an error and close, after the requests before it."""
        self._is_deaf = True
        self._refusal = Refusal(status, sentence)
        newest = self._newest
        if newest is not None and not newest.is_whole:  # its own body is what is wrong, and this is its answer
            newest.leave()
            if newest.is_begun:
                if newest.is_answered:
                    self._linger()
                else:
                    self.break_off()
                return
            if self._behind:
                self._behind.pop()
            else:
                self._current = self._unstarted = None
        if self._current is None:
            self._say(self._refusal)

    def _say(self, refusal: Refusal) -> None:
        if self._transport.is_closing():
            return
        observe = self._app_state.get(OBSERVE)
        if observe is not None:
            observe(refusal.status)
        with_body = self._parser.get_method() != b"HEAD"
        self._transport.write(refusal_of(*refusal, self._server.default_headers, with_body=with_body))
        self._linger()

    def _linger(self) -> None:
        """Close in two steps: say that nothing more comes, and read over what the client still sends for a while."""
        self._is_deaf = self._is_last = True
        self._patience.lingers()
        self.read_on()
        if not self._transport.is_closing():
            self._transport.write_eof()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """What every answer says, like its date."""
        return self._server.default_headers
