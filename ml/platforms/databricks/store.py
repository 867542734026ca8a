"""The store from a job of Databricks: keys of AWS by a service credential, renewed for as long as the job takes.

Every client of AWS in the process finds them where a container's keys are looked for: at an address on this machine
that asks for a token (https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html).
"""

import json
import os
import secrets
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from ml.errors import MlopsError

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

__all__ = ["store_credentials"]

ADDRESS, TOKEN = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # names
REGION = "AWS_DEFAULT_REGION"


@contextmanager
def store_credentials(name: str | None, region: str | None) -> Generator[None]:
    """For as long as the block runs; nothing is changed where no credential is named."""
    if name is None:
        yield
        return
    from databricks.sdk import WorkspaceClient  # now: AWS's clients give up when keys take two seconds

    token = secrets.token_urlsafe(32)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(WorkspaceClient(), name, token))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    variables = {ADDRESS: f"http://127.0.0.1:{server.server_port}/", TOKEN: token}
    if region:
        variables[REGION] = region
    before = {key: os.environ.get(key) for key in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})
        server.shutdown()
        server.server_close()


def _handler(client: "WorkspaceClient", name: str, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class's name
            """Keys, for whoever has the token; not for pages, which could give this address a name of their own."""
            own = f"127.0.0.1:{self.connection.getsockname()[1]}"
            if self.headers.get_all("Host") != [own] or "Origin" in self.headers:
                self._answer(403, {"code": "Forbidden", "message": f"only {own} is answered, and no page"})
                return
            said = self.headers.get("Authorization", "")
            if not secrets.compare_digest(said.encode("utf-8", "replace"), token.encode()):
                self._answer(403, {"code": "Forbidden", "message": "wrong token"})
                return
            try:
                self._answer(200, _keys(client, name))
            except Exception as error:  # what Databricks refuses is said to whoever asked
                self._answer(502, {"code": "Refused", "message": f"Unity Catalog gives no keys for {name!r}: {error}"})

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the base class's name
            """Nothing: a line for each renewal helps nobody."""

    return Handler


def _keys(client: "WorkspaceClient", name: str) -> dict[str, str]:
    """In the words of AWS's clients; they ask again before the keys expire."""
    given = client.credentials.generate_temporary_service_credential(name)
    keys = given.aws_temp_credentials
    if keys is None or not keys.access_key_id or not keys.secret_access_key or given.expiration_time is None:
        raise MlopsError("it has none of AWS")
    return {
        "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": keys.secret_access_key,
        "Token": keys.session_token or "",
        "Expiration": datetime.fromtimestamp(given.expiration_time / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
