"""How long a connection waits for its client: looked at now and then, so that no request pays for a timer."""

import asyncio
from collections.abc import Callable
from typing import Final, Literal

from ml.http.limits import ConnectionLimits

__all__ = ["Patience"]

TICK_S: Final = 1.0
LATE_S: Final = 0.1
LINGER_S: Final = 2.0  # for a client to read what it is refused with: closing while it sends would take that away

Does = Literal["works", "waits", "rests", "lingers"]


class Patience:
    """Ends what takes too long; `give_up` is called when what was waited for did not come in time.

    A connection `works` on an answer, `waits` for a head or for the rest of a body that nobody reads, `rests` between
    two requests, or `lingers` while the client may read its last answer.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        give_up: Callable[[], None],
    ) -> None:
        self._limits, self._loop, self._transport, self._give_up = limits, loop, transport, give_up
        self._does: Does = "waits"
        self._since = loop.time()
        self._unread_since: float | None = None  # to have something written that the client doesn't take
        self._look_again()

    def works(self) -> None:
        """A head is whole."""
        self._does = "works"

    def waits(self) -> None:
        """Something is awaited from the client from now on."""
        self._does, self._since = "waits", self._loop.time()

    def rests(self) -> None:
        """Every request is answered."""
        self._does, self._since = "rests", self._loop.time()

    def lingers(self) -> None:
        """The last word is said."""
        self._does, self._since = "lingers", self._loop.time()

    def hears(self) -> None:
        """The client sends: a rest is over."""
        if self._does == "rests":
            self.waits()

    def end(self) -> None:
        """The connection is over."""
        self._tick.cancel()

    def _look_again(self) -> None:
        limits = self._limits
        self._looks_at = self._loop.time() + min(
            TICK_S, limits.head_timeout_s / 2, max(limits.keep_alive_s, LATE_S) / 2
        )
        self._tick = self._loop.call_at(self._looks_at, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        late_s = now - self._looks_at
        self._look_again()
        if late_s > LATE_S:  # this process stood still, and what the client sent meanwhile is not read yet
            self._since += late_s
            self._unread_since = self._unread_since and self._unread_since + late_s
        if self._is_unread_too_long(now):
            self._transport.abort()
        elif self._does == "waits" and now - self._since > self._limits.head_timeout_s:
            self._give_up()
        elif self._does == "rests" and now - self._since > self._limits.keep_alive_s:
            self._transport.close()
        elif self._does == "lingers" and now - self._since > LINGER_S:
            self._transport.abort()

    def _is_unread_too_long(self, now: float) -> bool:
        if self._transport.get_write_buffer_size() == 0:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        return self._unread_since is not None and now - self._unread_since > self._limits.write_timeout_s
