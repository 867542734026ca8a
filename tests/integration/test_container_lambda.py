"""The model server as a Lambda function, under AWS's own runtime client, which asks a double of the Runtime API."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ml.container import aws_lambda
from ml.problem import Problem
from ml.release.bundle import key_of
from ml.release.schema import BundleSchema
from ml.serving.access.keys import add_key
from ml.store import Store

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


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The environment's store."""
    return Store((tmp_path_factory.mktemp("lambda") / "environment").as_uri())


@pytest.fixture
def function(tmp_path: Path, store: Store, published: str, logged: Store) -> Iterator[RuntimeApi]:
    """A running function whose container got its release as a folder."""
    api = RuntimeApi()
    process = subprocess.Popen(
        [sys.executable, "-m", "ml.container", "lambda"],
        env=os.environ
        | {
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "MLOPS_BUNDLE": store.path(key_of(published)),
            "MLOPS_RELEASE": published,
            "MLOPS_STATE": str(tmp_path / "state"),
            "MLOPS_STORE_URI": logged.uri,
        },
    )
    try:
        yield api
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        api.close()


def url_event(method: str, path: str, body: str | None, query: str = "") -> dict[str, Any]:
    """An event of a function URL, which has the format of API Gateway's version 2.0."""
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test"}
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "body": body,
        "headers": {"content-type": "application/json", "host": "f.lambda-url.x.on.aws"}, "isBase64Encoded": False,
        "requestContext": {"accountId": "anonymous", "domainName": "f.lambda-url.x.on.aws", "http": http,
                           "requestId": "id", "routeKey": "$default", "stage": "$default"},
    }  # fmt: skip


def test_a_function_answers_every_kind_of_event_and_logs_each_prediction_at_once(
    function: RuntimeApi, small_problem: Problem, published: str, logged: Store
) -> None:
    row = BundleSchema.of(small_problem).example
    request_id, plain = function.invoke({"rows": [row, row]})
    assert (plain["release"], plain["request_id"], len(plain["predictions"])) == (published, request_id, 2)
    assert rows_in(logged) == 2  # before anything else happens: the function may be frozen now

    _, mlflow = function.invoke({"dataframe_records": [row]})
    assert [positive for _, positive in mlflow["predictions"]] == [plain["predictions"][0]["score"]]
    _, bare = function.invoke([row])
    assert bare["predictions"] == plain["predictions"][:1]

    _, over_url = function.invoke(url_event("POST", "/predict", json.dumps(row)))
    assert over_url["statusCode"] == 200
    assert json.loads(over_url["body"])["predictions"] == plain["predictions"][:1]
    _, ready = function.invoke(url_event("GET", "/ready", None))
    assert json.loads(ready["body"])["release"] == published
    assert rows_in(logged) == 5

    for wrong in ({"rows": [{"AGEP": "old"}]}, {}, [], "text", None, {"rows": [row | {"AGEP": 10**30}]}):
        _, refused = function.invoke(wrong)
        assert 400 <= refused["status"] < 500
        assert refused["error"]
    _, refused = function.invoke(url_event("POST", "/predict", "{"))
    assert refused["statusCode"] == 400
    _, missing = function.invoke(url_event("GET", "/nothing", None))
    assert missing["statusCode"] == 404
    assert rows_in(logged) == 5


def test_the_options_of_serve_hold_for_a_function_too(
    tmp_path: Path, store: Store, published: str, small_problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, row = tmp_path / "keys.json", BundleSchema.of(small_problem).example
    variables = {"API_KEYS": str(keys), "MAXIMUM_ROWS": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(f"MLOPS_SERVE_{name}", value)
    monkeypatch.setenv("MLOPS_BUNDLE", store.path(key_of(published)))
    monkeypatch.setenv("MLOPS_STATE", str(tmp_path / "state"))
    key = add_key(keys, "shop", None)
    ask = aws_lambda.function.__wrapped__()

    event = url_event("POST", "/predict", json.dumps([row]))
    assert ask(event, None)["statusCode"] == 401
    event["headers"]["x-api-key"] = key
    assert ask(event, None)["statusCode"] == 200
    two_rows = url_event("POST", "/predict", json.dumps([row, row]))
    two_rows["headers"]["x-api-key"] = key
    assert ask(two_rows, None)["statusCode"] == 413
    assert ask([row], None)["status"] == 401


def rows_in(store: Store) -> int:
    keys = [key for key in store.list() if key.endswith(".parquet")]
    return sum(pq.read_metadata(store.path(key)).num_rows for key in keys)


def test_a_function_without_a_release_that_counts_does_not_start(tmp_path: Path, built: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ml.container", "lambda"],
        env=os.environ
        | {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "MLOPS_BUNDLE": str(built), "MLOPS_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 3
    assert "is not signed" in ran.stderr
    assert "Traceback" not in ran.stderr
