"""A server's connections: uvicorn's HTTP protocol, with an end to what one client may take of size and time.

uvicorn bounds neither the size of a request's head nor the time it takes, keeps a connection for a client that doesn't
read, answers nothing to one that sends no more, and says in plain text what is wrong. Times are looked at every
TICK_S, so that no request pays for a timer.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ml.serving.cycle import Cycle, refusal_of, target_of
from ml.serving.heads import mistake, size_of, without_offer
from ml.serving.http import WHOLE, Reply, Scope
from ml.serving.limits import ConnectionLimits

__all__ = ["OBSERVE", "SPARE", "Connection"]

TICK_S: Final = 1.0
LATE_S: Final = 0.1
RESERVED: Final = 32  # connections past the limit, on which only health and metrics are answered
LINGER_S: Final = 2.0  # for a client to read what it is refused with: closing while it sends would take that away
OBSERVE: Final = "observe_refusal"  # the key in ASGI's lifespan state of who counts what never reached the application
SPARE: Final = "is_spare"  # the key in a request's state that says that its connection is one of the reserved


Quick = Callable[[Scope, bytes, Reply], bool]  # of an application: whether it takes a whole request without a task


class _Refusal(NamedTuple):
    status: int
    sentence: str


class Connection(HttpToolsProtocol):
    """One connection. `limits` come first, so that `partial(Connection, limits)` is what uvicorn is given."""

    def __init__(self, limits: ConnectionLimits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._clock = self.loop.time
        self._tick: asyncio.TimerHandle | None = None
        self._looks_at = 0.0
        self._waiting_since: float | None = None  # for a head, or for the rest of a body that nobody reads
        self._unread_since: float | None = None  # what was written and the client didn't take
        self._lingers_since: float | None = None
        self._head_bytes = 0
        self._is_head_begun = False
        self._is_spare = False
        self._refusal: _Refusal | None = None
        self._is_refused = False
        self._is_last = False
        self._is_offer = False
        self._answered: RequestResponseCycle | None = None
        self._unstarted: Cycle | None = None  # its head is whole, and perhaps its body will be at once
        self._idle_since: float | None = None
        self._quick: Quick | None = getattr(self.app, "quick", None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] # uvicorn's own narrowing
        """Take a connection where there is room."""
        super().connection_made(transport)
        self._waiting_since = self._clock()
        self._look_again()
        most = self._limits.connections
        beyond = len(self.connections) - most
        self._is_spare = beyond > 0
        if beyond > RESERVED:
            self._refuse(503, f"The server has {most} connections, which is as many as it takes.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self._tick is not None:
            self._tick.cancel()
        if self._answered is not None:  # uvicorn tells the newest request only
            self._answered.disconnected = True
            self._answered.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came; what is no HTTP is refused in its turn."""
        if self._is_refused or self.transport.is_closing():
            return
        self._idle_since = None
        if self._waiting_since is None and self._is_idle:
            self._waiting_since = self._clock()
        self._head_bytes += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            said = self._refusal or _Refusal(400, f"This is not HTTP as a server can read it: {error}.")
            self._refuse(*said)
        else:
            if self._is_head_begun and self._head_bytes > self._limits.head_bytes:
                self._refuse(*self._too_large())
            elif not self._is_idle and self.cycle.more_body and not self.cycle.keep_alive:
                self.cycle.keep_alive, self._is_last = True, True  # uvicorn would close while the body still comes

    def _feed(self, data: bytes) -> None:
        try:
            self._parse(data)
        finally:
            if self._unstarted is not None:  # its body still comes, or needs more than a short answer
                cycle, self._unstarted = self._unstarted, None
                self._start_asgi_task(cycle, self.app)

    def _parse(self, data: bytes) -> None:
        parser: Any = self.parser  # untyped, and None only when the connection is lost
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # The parser stops before the body of a request that offers another protocol, as Java's client does on each
            # first one. No other is spoken here, so it is read again without the offer.
            head = without_offer(parser.get_method(), self.url, parser.get_http_version(), self.headers)
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(head + data[upgrade.args[0] :])

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] # uvicorn says None
        """A client that sends no more may still read: it gets the answers to what it sent."""
        if self._is_refused or self._is_idle:
            return False
        if self.cycle.more_body:
            self._refuse(400, "The connection was ended before the body was whole.")
        self.cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """A head begins."""
        self._is_head_begun = True
        super().on_message_begin()
        if self._is_spare:
            self.scope["state"][SPARE] = True  # pyright: ignore[reportTypedDictNotRequiredAccess] # set there

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the head; what stands behind the body is read over, as it could change what was decided."""
        if self._is_head_begun:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head is one that two servers could read in two ways."""
        is_large = self._head_bytes > self._limits.head_bytes
        self._waiting_since, self._head_bytes, self._is_head_begun = None, 0, False
        if is_large and size_of(self.url, self.headers) > self._limits.head_bytes:
            self._stop(self._too_large())
        parser: Any = self.parser
        version, method = parser.get_http_version(), parser.get_method()
        if wrong := mistake(method, version, self.headers):
            self._stop(_Refusal(400, wrong))
        self._is_offer = parser.should_upgrade()
        if not self._is_offer:
            self._begin(method, version, can_stay=parser.should_keep_alive())

    def _begin(self, method: bytes, version: str, *, can_stay: bool) -> None:
        """A request to answer, now or after those before it."""
        scope: Any = self.scope
        scope["method"] = method.decode("ascii")
        scope["path"], scope["raw_path"], scope["query_string"] = target_of(self.url)
        if version != "1.1":
            scope["http_version"] = version
        keep_alive = version != "1.0" and can_stay and not self._is_spare
        can_start, cycle = self._is_idle, Cycle(self, scope, self.transport, self.flow, keep_alive=keep_alive)
        self.cycle = cycle
        if can_start:
            self._answered = self._unstarted = cycle
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, cast(Any, self.app)))

    def on_message_complete(self) -> None:
        """The body is whole."""
        if self._is_offer:
            return
        self._head_bytes = 0
        self.scope["state"][WHOLE] = True  # pyright: ignore[reportTypedDictNotRequiredAccess] # set there
        if self.cycle.response_complete:  # it was answered before, and what was left of it is read over
            self._waiting_since, self._idle_since = None, self._clock()
            return
        self.cycle.more_body = False
        self.cycle.message_event.set()
        cycle, quick = self._unstarted, self._quick
        if cycle is None or quick is None or not cycle.keep_alive or self.flow.write_paused:
            return
        if quick(cast(Scope, self.scope), bytes(cycle.body), cycle.reply):
            self._unstarted = None

    def on_response_complete(self) -> None:
        """Answer what was sent behind it; a client that goes on sending this request's body has limited time for it."""
        is_unread = self.cycle.more_body
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        if not self._is_idle:
            return
        self._idle_since = self._clock()
        if self._refusal is not None:
            self._say(self._refusal)
        elif is_unread and (self._is_last or self.expect_100_continue):
            self._linger()  # one that waits to be asked for its body may send it now, or something else
        elif is_unread:
            self._waiting_since, self._idle_since = self._idle_since, None
        elif self._is_last:
            self.transport.close()

    @property
    def _is_idle(self) -> bool:
        newest: Any = self.cycle  # the newest request with a whole head, None before the first
        return newest is None or newest.response_complete

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _look(self) -> None:
        """End what takes too long."""
        now, limits = self._clock(), self._limits
        late_s = now - self._looks_at
        self._look_again()
        if late_s > LATE_S:  # this process stood still, and what the client sent meanwhile is not read yet
            self._waiting_since = self._waiting_since and self._waiting_since + late_s
            self._unread_since = self._unread_since and self._unread_since + late_s
        if self.transport.get_write_buffer_size() == 0:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > limits.write_timeout_s:
            self.transport.abort()
            return
        if self._lingers_since is not None:
            if now - self._lingers_since > LINGER_S:
                self.transport.abort()
            return
        if self._idle_since is not None and now - self._idle_since > limits.keep_alive_s:
            self.transport.close()
            return
        if self._waiting_since is None or now - self._waiting_since <= limits.head_timeout_s:
            return
        if self._is_head_begun and not self._is_refused:
            self._refuse(408, f"The head of the request did not arrive within {limits.head_timeout_s:g} s.")
        else:
            self.transport.abort()

    def _look_again(self) -> None:
        limits = self._limits
        self._looks_at = self._clock() + min(TICK_S, limits.head_timeout_s / 2, max(limits.keep_alive_s, LATE_S) / 2)
        self._tick = self.loop.call_at(self._looks_at, self._look)

    def _stop(self, refusal: _Refusal) -> None:
        self._refusal = refusal
        raise ValueError(refusal.sentence)  # the parser hands it on as an error of its own

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer with an error and close, after the requests before it."""
        self._is_refused = True
        self._refusal = _Refusal(status, sentence)
        if not self._is_idle:
            cycle = self.cycle
            if not cycle.more_body:
                return  # on_response_complete says it
            cycle.disconnected = True  # its own body is what is wrong, and this is its answer
            cycle.message_event.set()
            if self.pipeline:
                self.pipeline.popleft()
                cycle.response_complete = True
                return
            if cycle.response_started:
                self.transport.close()
                return
            cycle.response_complete = True
        self._say(self._refusal)

    def _say(self, refusal: _Refusal) -> None:
        if self.transport.is_closing():
            return
        observe: Callable[[int], None] | None = self.app_state.get(OBSERVE)
        if observe is not None:
            observe(refusal.status)
        self.transport.write(refusal_of(refusal.status, refusal.sentence))
        self._linger()

    def _linger(self) -> None:
        """Close in two steps: say that nothing more comes, and read over what the client still sends for a while."""
        self._is_refused = True
        self._lingers_since, self._idle_since = self._clock(), None
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self.transport.write_eof()

    def _too_large(self) -> _Refusal:
        return _Refusal(431, f"The head of the request is larger than {self._limits.head_bytes} bytes.")
