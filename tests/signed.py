"""SageMaker's MLflow as its plugin sees it: a server that answers only requests that are signed by a known key.

It is a double of the door alone. Behind it stands a real MLflow server.
"""

import hashlib
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

__all__ = ["Door", "is_signed", "signed_door"]

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<headers>[^,]+), Signature=(?P<signature>[0-9a-f]{64})"
)
HOP = {"connection", "host", "content-length", "transfer-encoding", "keep-alive"}


class Door:
    """Where it listens, and the ARNs that it was asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked_for: set[str] = set()
        self.refused = 0


@contextmanager
def signed_door(behind: str, key: str, secret: str, region: str) -> Generator[Door]:
    """A door before the server `behind`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hashed = self.headers.get("X-Amz-Content-SHA256") == hashlib.sha256(body).hexdigest()
            if not hashed or not is_signed(self, body, Credentials(key, secret), region, "sagemaker-mlflow"):
                door.refused += 1
                return self._answer(403, b'{"error_code": "PERMISSION_DENIED", "message": "not signed"}', {})
            door.asked_for.add(self.headers["x-mlflow-sm-tracking-server-arn"])
            passed = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            request = urllib.request.Request(behind + self.path, body or None, passed, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return self._answer(answer.status, answer.read(), answer.headers)
            except urllib.error.HTTPError as error:
                return self._answer(error.code, error.read(), error.headers)

        def _answer(self, status: int, body: bytes, headers: Any) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    door = Door(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield door
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def is_signed(asked: BaseHTTPRequestHandler, body: bytes, credentials: Credentials, region: str, service: str) -> bool:
    """Whether the signature is the one that botocore itself computes with the key, of this body and these headers."""
    claimed = AUTHORIZATION.fullmatch(asked.headers.get("Authorization", ""))
    key = credentials.access_key
    if claimed is None or (claimed["key"], claimed["region"], claimed["service"]) != (key, region, service):
        return False
    signed = {name: asked.headers[name] for name in claimed["headers"].split(";")}
    request: Any = AWSRequest(asked.command, f"http://{asked.headers['Host']}{asked.path}", signed, body)
    request.context["timestamp"] = asked.headers["X-Amz-Date"]
    auth = SigV4Auth(credentials, service, region)
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return expected == claimed["signature"]
