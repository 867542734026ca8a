"""How much a server takes on at once: past it, it says so at once instead of growing.

Its memory is bounded by the bytes of the bodies that it holds, its queues by the number of requests in them. A caller
who is refused with 429 may ask again; 503 is kept for a server that can't answer at all.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final, TypeVar

from ml.http.answers import Scope
from ml.model.requests import RequestRefused

__all__ = ["Bodies", "Queue", "held_bytes"]

HELD: Final = "mlops_held_bytes"

T = TypeVar("T")


class Bodies:
    """The bodies that are held at once, up to `maximum_bytes`; used from the event loop alone."""

    def __init__(self, maximum_bytes: int) -> None:
        self._maximum_bytes = maximum_bytes
        self._held_bytes = 0

    def refuse_beyond(self, announced_bytes: int) -> None:
        """RequestRefused where there is no room for a body of that size."""
        if self._held_bytes + announced_bytes > self._maximum_bytes:
            raise RequestRefused(429, "The server holds as many requests as it can. Try again in a moment.")

    def hold(self, scope: Scope, size_bytes: int) -> None:
        """Count bytes that came for a request; RequestRefused where they are too many."""
        self.refuse_beyond(size_bytes)
        self._held_bytes += size_bytes
        scope[HELD] = scope.get(HELD, 0) + size_bytes

    def let_go(self, scope: Scope) -> None:
        """The request is answered."""
        if held := scope.pop(HELD, 0):
            self._held_bytes -= held


def held_bytes(scope: Scope) -> int:
    """How much of a request's body is held."""
    return scope.get(HELD, 0)


class Queue:
    """Threads that work, and at most `maximum` requests that are worked on or wait for it."""

    def __init__(self, executor: Executor, maximum: int, timeout_s: float) -> None:
        self._executor = executor
        self._maximum = maximum
        self._timeout_s = timeout_s
        self._requests = 0

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work` from a thread; RequestRefused where too many wait, or it takes too long."""
        if self._requests >= self._maximum:
            raise RequestRefused(429, f"The server works on {self._requests} requests already. Try again in a moment.")
        self._requests += 1
        future = self._executor.submit(work)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            if future.cancelled():
                raise RequestRefused(429, f"Nobody came to answer within {self._timeout_s:g} s. Try again.") from error
            raise RequestRefused(503, f"The model did not answer within {self._timeout_s:g} s.") from error
        finally:
            self._requests -= 1
