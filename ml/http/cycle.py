"""One request on a connection and its answer, as ASGI has them; an answer that is there as a whole goes out at once."""

import asyncio
import http
import logging
import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ml.http.answers import Message, Response, Scope, raw_headers
from ml.http.heads import Headers, Target

if TYPE_CHECKING:
    from ml.http.connection import Connection

__all__ = ["Cycle", "refusal_of", "scope_of"]

RETRY_AFTER_S: Final = 1
CLOSE: Final = b"connection: close\r\n"
STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in http.HTTPStatus
}

log = logging.getLogger(__name__)


class Cycle:
    """A request and its answer.

    `keeps` says whether the connection stays open behind it, `expects` whether the client waits for a 100 (Continue)
    before it sends the body.
    """

    def __init__(self, connection: "Connection", scope: Scope, *, keeps: bool, expects: bool) -> None:
        self.scope = scope
        self.keeps = keeps
        self.expects = expects
        self.body: bytes | bytearray = b""
        self.is_whole = False  # all of the request is there
        self.is_begun = False  # some of the answer is written
        self.is_answered = False  # all of it is
        self._connection = connection
        self._is_gone = False
        self._is_told = False
        self._head: Message | None = None
        self._news: asyncio.Event | None = None

    def take(self, data: bytes) -> None:
        """More of the body came."""
        if not self.body:  # most bodies come as one
            self.body = data
        elif isinstance(self.body, bytes):
            self.body = bytearray(self.body + data)
        else:
            self.body += data
        self._wake()

    def end(self) -> None:
        """The body is whole."""
        self.is_whole = True
        self._wake()

    def leave(self) -> None:
        """Nobody waits for the answer any more."""
        self._is_gone = True
        self._wake()

    async def run(self, app: Any) -> None:
        """Have the application answer; whatever it does, the client sees an end."""
        try:
            await app(self.scope, self._receive, self._send)
        except Exception:
            log.exception("The application failed")
        finally:
            if not self.is_answered and not self._is_gone:
                self._fail()

    def reply(self, response: Response, request_id: str) -> None:
        """Answer as a whole; nothing happens when nobody is there to read it."""
        if not self._is_gone and not self.is_begun:
            self._write(response.status, raw_headers(response, request_id), response.body, is_last=True)

    async def _receive(self) -> Message:
        """ASGI's: the next part of the body, or that there is nothing more to wait for."""
        if self.expects and not self.body and not self.is_whole and not self.is_begun:
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.expects = False
        while not (self._is_gone or self.is_answered):
            if self.body or (self.is_whole and not self._is_told):
                body, self.body, self._is_told = bytes(self.body), b"", self.is_whole
                return {"type": "http.request", "body": body, "more_body": not self.is_whole}
            self._connection.read_on()
            self._news = asyncio.Event()
            await self._news.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        """ASGI's: the head goes out with the first part of the body."""
        await self._connection.drain()
        if self._is_gone:
            return
        if message["type"] == "http.response.start":
            self._head = message
            return
        body, is_last = message.get("body", b""), not message.get("more_body", False)
        if self._head is None:
            self._write(None, [], body, is_last=is_last)
        else:
            head, self._head = self._head, None
            self._write(head["status"], list(head.get("headers", [])), body, is_last=is_last)

    def _write(self, status: int | None, headers: Headers, body: bytes, *, is_last: bool) -> None:
        """Some of the answer, from its head on where there is a status. One without a length ends its connection."""
        if self.scope["method"] == "HEAD":
            body = b""
        if status is not None:
            if status >= 200 and not any(name == b"content-length" for name, _ in headers):
                self.keeps = False
            self._connection.write(self._head_of(status, headers) + body)
        elif body:
            self._connection.write(body)
        self.is_begun = True
        if is_last:
            self.is_answered = True
            self._wake()
            self._connection.answered(self)

    def _head_of(self, status: int, headers: Headers) -> bytes:
        lines = [b"%b: %b\r\n" % pair for pair in (*self._connection.default_headers, *headers)]
        return b"".join((STATUS_LINES[status], *lines, b"\r\n" if self.keeps else CLOSE + b"\r\n"))

    def _fail(self) -> None:
        self.keeps = False
        if self.is_begun:
            self._connection.break_off()
        else:
            body = msgspec.json.encode({"error": "The server failed. Its log says why."})
            self.reply(Response(500, body), uuid.uuid4().hex)

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()


def scope_of(method: bytes, version: str, target: Target, headers: Headers, state: dict[str, Any]) -> Scope:
    """A request's head, as ASGI has it. Nothing here asks who the client is, so it is not said."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": version,
        "method": method.decode("ascii"),
        "scheme": "http",
        "path": target.path,
        "raw_path": target.raw_path,
        "query_string": target.query,
        "root_path": "",
        "headers": headers,
        "client": None,
        "server": None,
        "state": state,
    }


def refusal_of(status: int, sentence: str, default_headers: Headers, *, with_body: bool = True) -> bytes:
    """The answer to what never was a request, after which the connection ends."""
    body = msgspec.json.encode({"request_id": uuid.uuid4().hex, "error": sentence})
    head = [*default_headers, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == 503:
        head.append((b"retry-after", b"%d" % RETRY_AFTER_S))
    lines = [b"%b: %b\r\n" % pair for pair in head]
    return b"".join((STATUS_LINES[status], *lines, CLOSE, b"\r\n", body if with_body else b""))
