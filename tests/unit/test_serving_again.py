"""A head that is known by its bytes is no other than the one that was parsed, however bytes come."""

import asyncio
from typing import Any

import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st

from ml.http.again import Head, again_of
from ml.http.answers import Response
from ml.http.connection import Connection
from ml.http.heads import Target
from ml.http.limits import ConnectionLimits
from ml.http.places import Places

HEAD = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
BODIES = (b"abcd", b"\r\n\r\n", b"\r\nPO", b"POST", b"GET ")
OTHERS = (
    b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    b"POST /d HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"\r\n",
)
MESSAGES = st.sampled_from([HEAD + body for body in BODIES] + list(OTHERS))


class Server:
    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.total_requests = 0
        self.default_headers: list[tuple[bytes, bytes]] = []


class Transport(asyncio.Transport):
    def write(self, data: Any) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return False

    def write_eof(self) -> None: ...

    def close(self) -> None: ...


class Heard:
    """An application that keeps what it was asked, at once or not."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def quick(self, scope: Any, body: bytes, reply: Any) -> bool:
        self._hear(scope, body)
        reply(Response(200, b""), "id")
        return True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        self._hear(scope, body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    def _hear(self, scope: Any, body: bytes) -> None:
        self.asked.append((scope["method"], scope["raw_path"], list(scope["headers"]), body))


async def heard(chunks: list[bytes]) -> list[tuple[Any, ...]]:
    app, server = Heard(), Server()
    config = uvicorn.Config(app, lifespan="off")  # pyright: ignore[reportArgumentType] # is never called
    config.loaded_app = app
    connection = Connection(ConnectionLimits(), Places(1), config, server, {})
    connection.connection_made(Transport())
    for chunk in chunks:
        connection.data_received(chunk)
    while server.tasks:
        await asyncio.gather(*server.tasks)
    connection.connection_lost(None)
    return app.asked


@given(st.lists(st.lists(MESSAGES, min_size=1, max_size=3), max_size=6))
@example([[HEAD + b"abcd"], [HEAD + b"\r\n\r\n"], [HEAD + b"POST", HEAD + b"abcd"], [HEAD + b"abcd"]])
@example([[HEAD + b"\r\n\r\n", b"\r\n"], [HEAD + b"abcd", b"\r\n"], [HEAD + b"abcd"]])
def test_what_is_asked_does_not_depend_on_what_came_together(chunks: list[list[bytes]]) -> None:
    together = [b"".join(messages) for messages in chunks]
    byte_by_byte = [bytes([byte]) for byte in b"".join(together)]
    assert asyncio.run(heard(together)) == asyncio.run(heard(byte_by_byte))


def test_a_request_is_known_by_its_head_when_it_says_how_long_its_body_is() -> None:
    def head(*headers: tuple[bytes, bytes], keeps: bool = True, expects: bool = False) -> Head:
        return Head(b"POST", "1.1", Target("/a", b"/a", b"", None), list(headers), keeps, expects)

    length = (b"content-length", b"4")
    found = again_of(HEAD + b"abcd", head(length))
    assert found is not None
    assert found.body_in(HEAD + b"efgh") == b"efgh"
    assert found.body_in(HEAD + b"efg") is None
    assert found.body_in(HEAD + b"efghi") is None
    assert found.body_in(HEAD.replace(b"/a", b"/b") + b"efgh") is None
    for data, of in (
        (HEAD + b"abcd\r\n", head(length)),
        (HEAD + b"abcd" + HEAD + b"abcd", head(length)),
        (b"\r\n" + HEAD + b"abcd", head(length)),
        (HEAD + b"abcd", head()),
        (HEAD + b"abcd", head(length, length)),
        (HEAD + b"abcd", head(length, (b"transfer-encoding", b"chunked"))),
        (HEAD + b"abcd", head(length, keeps=False)),
        (HEAD + b"abcd", head(length, expects=True)),
    ):
        assert again_of(data, of) is None
