"""An application that says what it was asked, as a process: what is in front of it is what is tested."""

import hashlib
from typing import Any

import click
import msgspec

from ml.http.answers import Receive, Response, Scope, Send, header, json_response, read_body, send_response
from ml.http.front import Front, Reply
from ml.http.limits import ConnectionLimits
from ml.http.run import run
from ml.model.requests import RequestRefused

MOST_BYTES = 8 * 1024 * 1024


class Echo:
    """Answers GET without reading a body, and everything else when the body is whole, at once where it can."""

    def quick(self, scope: Scope, body: bytes, reply: Reply) -> bool:
        """See ml.http.front."""
        if scope["method"] == "GET" or scope["path"] == "/slow":
            return False
        reply(seen(scope, body), "quick")
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] == "lifespan":
            for stage in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{stage}.complete"})
            return
        if scope["path"] == "/fails":
            raise RuntimeError("as it was asked to")
        try:
            body = b"" if scope["method"] == "GET" else await read_body(scope, receive, MOST_BYTES, 5)
            response = seen(scope, body)
        except RequestRefused as refused:
            response = json_response(refused.status, {"error": str(refused)})
        await send_response(send, response, with_body=scope["method"] != "HEAD")


def seen(scope: Scope, body: bytes) -> Response:
    """What was asked."""
    said: dict[str, Any] = {name: scope[name] for name in ("method", "path", "http_version")}
    said |= {"query": scope["query_string"].decode(), "host": header(scope, b"host")}
    said |= {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), "text": body[:100].decode("latin-1")}
    return Response(200, msgspec.json.encode(said))


@click.command()
@click.option("--port", type=int)
@click.option("--http", "front", default="own")
@click.option("--allowed-host", "hosts", multiple=True)
def main(port: int, front: Front, hosts: tuple[str, ...]) -> None:
    """Serve until told to stop."""
    limits = ConnectionLimits(head_bytes=16 * 1024, head_timeout_s=2, keep_alive_s=2)
    run(Echo(), "127.0.0.1", port, limits, 1, front=front, allowed_hosts=hosts)


if __name__ == "__main__":
    main()
