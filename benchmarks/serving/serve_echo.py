"""The ceiling of our own stack: its server with an application that sends back what it got. `serve_echo <port>`."""

import sys
from typing import Any

from ml.http.answers import Response, Scope
from ml.http.front import Reply
from ml.http.run import run


class Echo:
    """Answers a request with its own body, unread; by the same short way that predictions take."""

    def quick(self, _scope: Scope, body: bytes, reply: Reply) -> bool:
        """Every request whose body came with its head."""
        reply(Response(200, body), "echo")
        return True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Start and stop, and the requests whose bodies came in pieces."""
        if scope["type"] == "lifespan":
            for stage in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{stage}.complete"})
            return
        body, is_whole = b"", False
        while not is_whole:
            message = await receive()
            body += message.get("body", b"")
            is_whole = not message.get("more_body", False)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    run(Echo(), "127.0.0.1", int(sys.argv[1]))
