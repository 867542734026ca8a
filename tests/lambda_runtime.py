"""A double of Lambda's Runtime API, which AWS's own runtime client asks for events."""

import json
import queue
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["RuntimeApi", "url_event"]

TIMEOUT_S = 120.0


class RuntimeApi:
    """Lambda's Runtime API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) for one function."""

    def __init__(self) -> None:
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                request_id, event = api._events.get()
                arn = "arn:aws:lambda:x:1:function:f"
                deadline_ms = str(int((time.time() + TIMEOUT_S) * 1000))
                said = {"Aws-Request-Id": request_id, "Deadline-Ms": deadline_ms, "Invoked-Function-Arn": arn}
                self._send(200, event, {f"Lambda-Runtime-{name}": value for name, value in said.items()})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.answers.put((self.path.removeprefix("/2018-06-01/runtime/"), body))
                self._send(202, {}, {})

            def _send(self, status: int, value: Any, headers: dict[str, str]) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                sizes = {"Content-Type": "application/json", "Content-Length": str(len(data))}
                for name, text in (headers | sizes).items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # a function that is ended hangs up
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def invoke(self, event: Any) -> tuple[str, Any]:
        """Send an event; the id of the request and what the function answered."""
        request_id = str(uuid.uuid4())
        self._events.put((request_id, event))
        path, answer = self.answers.get(timeout=TIMEOUT_S)
        assert path == f"invocation/{request_id}/response", (path, answer)
        return request_id, answer

    def close(self) -> None:
        self._server.shutdown()


def url_event(method: str, path: str, body: str | None, query: str = "") -> dict[str, Any]:
    """An event of a function URL, which has the format of API Gateway's version 2.0."""
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test"}
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "body": body,
        "headers": {"content-type": "application/json", "host": "f.lambda-url.x.on.aws"}, "isBase64Encoded": False,
        "requestContext": {"accountId": "anonymous", "domainName": "f.lambda-url.x.on.aws", "http": http,
                           "requestId": "id", "routeKey": "$default", "stage": "$default"},
    }  # fmt: skip
