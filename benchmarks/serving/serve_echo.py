"""The ceiling of our own stack: its server with an application that sends back what it got. `serve_echo <port>`."""

import sys
from typing import Any

from ml.serving.run import run


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request with its own body."""
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
    run(echo, "127.0.0.1", int(sys.argv[1]))
