"""The little of HTTP that our ASGI applications need: a body with limits, and answers."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

import msgspec

from ml.model.requests import RequestRefused

__all__ = [
    "WHOLE",
    "Budget",
    "Message",
    "Receive",
    "Response",
    "Scope",
    "Send",
    "header",
    "json_response",
    "raw_headers",
    "read_body",
    "run_lifespan",
    "send_response",
]

WHOLE: Final = "is_whole"  # in a request's state: its body came with its head, and there is nothing to wait for

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Response(msgspec.Struct, frozen=True):
    """An answer; `headers` come on top of its type and length."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = msgspec.field(default_factory=dict)


def json_response(status: int, value: object, **headers: str) -> Response:
    """`value` as JSON; underscores in header names stand for dashes."""
    return Response(status, msgspec.json.encode(value), headers={k.replace("_", "-"): v for k, v in headers.items()})


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


class Budget(Protocol):
    """Who bounds the bytes of all bodies together."""

    def refuse_beyond(self, announced_bytes: int) -> None:
        """RequestRefused where there is no room for a body of that size."""
        ...

    def hold(self, scope: Scope, size_bytes: int) -> None:
        """Count bytes that came for a request; RequestRefused where they are too many."""
        ...


async def read_body(
    scope: Scope, receive: Receive, maximum_bytes: int, timeout_s: float, budget: Budget | None = None
) -> bytes:
    """The whole body; RequestRefused when it is too large, doesn't arrive in time, or finds no room in the budget."""
    too_large = RequestRefused(413, f"The body is larger than {maximum_bytes} bytes. Send fewer rows at once.")
    length = header(scope, b"content-length")
    if length is not None and length.isdigit() and int(length) > maximum_bytes:
        raise too_large
    if budget is not None and length is not None and length.isdigit():
        budget.refuse_beyond(int(length))
    if scope.get("state", {}).get(WHOLE):  # nothing to wait for: no timer
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            body: bytes = message.get("body", b"")
            if len(body) > maximum_bytes:
                raise too_large
            if budget is not None:
                budget.hold(scope, len(body))
            return body
    chunks: list[bytes] = []
    received = 0
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RequestRefused(400, "The connection was closed before the body was whole.")
                chunk: bytes = message.get("body", b"")
                received += len(chunk)
                if received > maximum_bytes:
                    raise too_large
                if budget is not None:
                    budget.hold(scope, len(chunk))
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError as error:
        raise RequestRefused(408, f"The body did not arrive within {timeout_s:g} s.") from error


def raw_headers(response: Response, request_id: str | None) -> list[tuple[bytes, bytes]]:
    """An answer's headers, as ASGI has them."""
    raw = [
        (b"content-type", response.content_type.encode("latin-1")),
        (b"content-length", b"%d" % len(response.body)),
        *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()),
    ]
    if request_id is not None:
        raw.append((b"x-request-id", request_id.encode("latin-1")))
    return raw


async def send_response(
    send: Send, response: Response, request_id: str | None = None, *, with_body: bool = True
) -> None:
    """Send an answer; without its body for a HEAD request."""
    await send({"type": "http.response.start", "status": response.status, "headers": raw_headers(response, request_id)})
    await send({"type": "http.response.body", "body": response.body if with_body else b""})


async def run_lifespan(
    receive: Receive, send: Send, work: Callable[[], Awaitable[None]], accepts: asyncio.Event | None = None
) -> None:
    """Answer ASGI's lifespan messages; `work` runs in the background between start and stop.

    Connections are taken at once, or when `accepts` is set.
    """
    await receive()
    task = asyncio.ensure_future(work())
    if accepts is not None:
        waiting = asyncio.ensure_future(accepts.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await send({"type": "lifespan.shutdown.complete"})
