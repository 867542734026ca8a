"""A server's connections: uvicorn's HTTP protocol, with an end to what one client may take of size and time.

uvicorn bounds neither the size of a request's head nor the time it takes, keeps a connection for a client that doesn't
read, answers nothing to one that sends no more, and says in plain text what is wrong. Times are looked at every
TICK_S, so that no request pays for a timer.
"""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ml.serving.http import WHOLE
from ml.serving.limits import ConnectionLimits

__all__ = ["OBSERVE", "SPARE", "Connection"]

TICK_S: Final = 1.0
LATE_S: Final = 0.1
RESERVED: Final = 32  # connections past the limit, on which only health and metrics are answered
LINGER_S: Final = 2.0  # for a client to read what it is refused with: closing while it sends would take that away
RETRY_AFTER_S: Final = 1
OBSERVE: Final = "observe_refusal"  # the key in ASGI's lifespan state of who counts what never reached the application
SPARE: Final = "is_spare"  # the key in a request's state that says that its connection is one of the reserved
VERSIONS: Final = ("1.0", "1.1")


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

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] # uvicorn's own narrowing
        """Take a connection where there is room."""
        super().connection_made(transport)
        limits = self._limits
        self._waiting_since = self._clock()
        self._look_again()
        beyond = len(self.connections) - limits.connections
        self._is_spare = beyond > 0
        if beyond > RESERVED:
            self._refuse(503, f"The server has {limits.connections} connections, which is as many as it takes.")

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
        self._unset_keepalive_if_required()
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
            cast(Any, self.parser).feed_data(data)  # untyped, and None only when the connection is lost
        except httptools.HttpParserUpgrade as upgrade:
            # The parser stops before the body of a request that offers another protocol, as Java's client does on each
            # first one. No other is spoken here, so it is read again without the offer.
            again = self._head_without_offer() + data[upgrade.args[0] :]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(again)

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
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head is one that two servers could read in two ways."""
        is_large = self._head_bytes > self._limits.head_bytes
        self._waiting_since, self._head_bytes, self._is_head_begun = None, 0, False
        if is_large and self._size_of_head() > self._limits.head_bytes:
            self._stop(self._too_large())
        parser = cast(Any, self.parser)
        version: str = parser.get_http_version()
        if version not in VERSIONS:
            self._stop(_Refusal(400, f"The version is HTTP/{version}. This server speaks HTTP/1.1."))
        hosts = [name for name, _ in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and version == "1.1"):
            self._stop(_Refusal(400, f"The request has {len(hosts)} Host headers. HTTP/1.1 demands exactly one."))
        if version == "1.0" and any(name == b"transfer-encoding" for name, _ in self.headers):
            self._stop(_Refusal(400, "HTTP/1.0 knows no Transfer-Encoding."))
        if parser.get_method() == b"CONNECT":
            self._stop(_Refusal(400, "This server is no proxy."))
        self._is_offer = parser.should_upgrade()
        if self._is_offer:
            return
        super().on_headers_complete()
        if self._is_spare:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The body is whole."""
        if self._is_offer:
            return
        self._head_bytes = 0
        self.scope["state"][WHOLE] = True  # pyright: ignore[reportTypedDictNotRequiredAccess] # set there
        if self.cycle.response_complete:  # it was answered before, and what was left of it is read over
            self._waiting_since = None
            self._keep_alive()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Answer what was sent behind it; a client that goes on sending this request's body has limited time for it."""
        is_unread = self.cycle.more_body
        super().on_response_complete()
        if not self._is_idle or self.transport.is_closing():
            return
        if self._refusal is not None:
            self._say(self._refusal)
        elif is_unread and (self._is_last or self.expect_100_continue):
            self._linger()  # one that waits to be asked for its body may send it now, or something else
        elif is_unread:
            self._unset_keepalive_if_required()
            self._waiting_since = self._clock()
        elif self._is_last:
            self.transport.close()

    @property
    def _is_idle(self) -> bool:
        newest = self._newest
        return newest is None or newest.response_complete

    @property
    def _newest(self) -> RequestResponseCycle | None:
        """The newest request with a whole head: the one whose body comes, not always the one that is answered."""
        return cast(RequestResponseCycle | None, self.cycle)  # uvicorn's type forgets the time before the first

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _keep_alive(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

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
        if self._waiting_since is None or now - self._waiting_since <= limits.head_timeout_s:
            return
        if self._is_head_begun and not self._is_refused:
            self._refuse(408, f"The head of the request did not arrive within {limits.head_timeout_s:g} s.")
        else:
            self.transport.abort()

    def _look_again(self) -> None:
        self._looks_at = self._clock() + min(TICK_S, self._limits.head_timeout_s / 2)
        self._tick = self.loop.call_at(self._looks_at, self._look)

    def _stop(self, refusal: _Refusal) -> None:
        self._refusal = refusal
        raise ValueError(refusal.sentence)  # the parser hands it on as an error of its own

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer with an error and close, after the requests before it."""
        self._is_refused = True
        self._refusal = _Refusal(status, sentence)
        cycle = self._newest
        if cycle is not None and not cycle.response_complete:
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
        body = msgspec.json.encode({"request_id": uuid.uuid4().hex, "error": refusal.sentence})
        head = [b"content-type: application/json", b"content-length: %d" % len(body), b"connection: close"]
        if refusal.status == 503:
            head.append(b"retry-after: %d" % RETRY_AFTER_S)
        self.transport.write(b"".join([STATUS_LINE[refusal.status], b"\r\n".join(head), b"\r\n\r\n", body]))
        self._linger()

    def _linger(self) -> None:
        """Close in two steps: say that nothing more comes, and read over what the client still sends for a while."""
        self._is_refused = True
        self._lingers_since = self._clock()
        self._unset_keepalive_if_required()
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self.transport.write_eof()

    def _head_without_offer(self) -> bytes:
        parser = cast(Any, self.parser)
        line = b" ".join([parser.get_method(), self.url, b"HTTP/" + parser.get_http_version().encode()])
        ends = any(name == b"connection" and b"close" in value.lower() for name, value in self.headers)
        kept = [b": ".join(pair) for pair in self.headers if pair[0] not in (b"connection", b"upgrade")]
        return b"\r\n".join([line, *kept, *([b"connection: close"] if ends else []), b"", b""])

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)

    def _too_large(self) -> _Refusal:
        return _Refusal(431, f"The head of the request is larger than {self._limits.head_bytes} bytes.")
