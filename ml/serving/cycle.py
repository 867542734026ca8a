"""One request on a connection and its answer: uvicorn's, that can also be answered at once.

An answer that is there as a whole goes out in one write, without a task or a message for each of its parts.
"""

import asyncio
import logging
import uuid
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from ml.serving.http import Response, raw_headers

__all__ = ["Cycle", "Target", "refusal_of", "target_of"]

LOGGER: Final = logging.getLogger("uvicorn.error")
RETRY_AFTER_S: Final = 1
CLOSE: Final = b"connection: close\r\n"


class Target(NamedTuple):
    """What a request line asks for."""

    path: str
    raw_path: bytes
    query: bytes


@lru_cache(256)
def target_of(url: bytes) -> Target:
    """The parts of a URL; httptools' own error for one that is none."""
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return Target(unquote(path) if "%" in path else path, parsed.path, parsed.query or b"")


def refusal_of(status: int, sentence: str) -> bytes:
    """The answer to what never was a request, after which the connection ends."""
    body = msgspec.json.encode({"request_id": uuid.uuid4().hex, "error": sentence})
    head = [b"content-type: application/json", b"content-length: %d" % len(body), b"connection: close"]
    if status == 503:
        head.append(b"retry-after: %d" % RETRY_AFTER_S)
    return b"".join([STATUS_LINE[status], b"\r\n".join(head), b"\r\n\r\n", body])


class Cycle(RequestResponseCycle):
    """A request and its answer."""

    def __init__(
        self, connection: Any, scope: Any, transport: asyncio.Transport, flow: FlowControl, *, keep_alive: bool
    ) -> None:
        super().__init__(
            scope=scope,
            transport=transport,
            flow=flow,
            logger=LOGGER,
            access_logger=LOGGER,
            access_log=False,
            default_headers=connection.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=connection.expect_100_continue,
            keep_alive=keep_alive,
            on_response=connection.on_response_complete,
        )

    def reply(self, response: Response, request_id: str) -> None:
        """Answer as a whole; nothing happens when nobody is there to read it."""
        if self.disconnected or self.response_started or self.transport.is_closing():
            return
        lines = [b"%b: %b\r\n" % pair for pair in self.default_headers]
        lines += [b"%b: %b\r\n" % pair for pair in raw_headers(response, request_id)]
        end = b"\r\n" if self.keep_alive else CLOSE + b"\r\n"
        self.transport.write(b"".join((STATUS_LINE[response.status], *lines, end, response.body)))
        self.response_started = self.response_complete = True
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
