"""The model server as a Lambda function, under AWS's own runtime client, which asks a double of the Runtime API."""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from botocore.credentials import Credentials
from click.testing import CliRunner

from ml.access.keys import add_key
from ml.bundle.bundle import key_of
from ml.bundle.schema import BundleSchema
from ml.endpoint.ask import example
from ml.errors import InputRefused
from ml.platforms.serverless import function as aws_lambda
from ml.problem import Problem
from ml.runtime import Runtime
from ml.serving.command import predict
from ml.store import Store
from tests.lambda_runtime import RuntimeApi, url_event
from tests.signed import is_signed


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


@contextmanager
def behind_signatures(
    monkeypatch: pytest.MonkeyPatch, function: RuntimeApi, host: str, service: str
) -> Generator[list[str]]:
    """What stands before a function's URL or an endpoint of SageMaker: signed requests go on, others get a 403.

    It answers in place of `host`, in clear text, for nobody else can have that name. Yields the paths it was asked.
    """
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            paths.append(self.path)
            if not is_signed(self, body, Credentials("nobody", "nothing"), "eu-west-1", service):
                return self.say(403, json.dumps({"Message": "Forbidden"}).encode())
            path, _, query = self.path.partition("?")
            if service == "sagemaker":
                return self.say(200, json.dumps(function.invoke(json.loads(body))[1]).encode())
            _, said = function.invoke(url_event(self.command, path, body.decode() or None, query))
            return self.say(said["statusCode"], said["body"].encode())

        def say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    real = urllib.request.urlopen

    def here(request: urllib.request.Request, timeout: float) -> Any:
        assert request.full_url.startswith(f"https://{host}/")
        request.add_unredirected_header("Host", host)
        request.full_url = request.full_url.replace(f"https://{host}", f"http://127.0.0.1:{server.server_port}")
        return real(request, timeout=timeout)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(urllib.request, "urlopen", here)
            patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
            yield paths
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("platform", "host", "path", "service"),
    [
        ("serverless", "abc123.lambda-url.eu-west-1.on.aws", "/", "lambda"),
        ("sagemaker", "runtime.sagemaker.eu-west-1.amazonaws.com", "/endpoints/e/invocations", "sagemaker"),
    ],
)
def test_predict_signs_where_aws_asks_for_it(
    function: RuntimeApi, store: Store, published: str, monkeypatch: pytest.MonkeyPatch,
    platform: str, host: str, path: str, service: str,
) -> None:  # fmt: skip
    runtime = Runtime(
        stack="aws-some-dev", cloud="aws", platform=platform, environment="dev", store_uri=store.uri,
        tracking_uri="", monitor_url="", release=published, endpoint_url=f"https://{host}{path}",
    )  # fmt: skip
    monkeypatch.setattr(Runtime, "load", lambda _stack: runtime)

    def ask(*words: str, **given: Any) -> Any:
        return CliRunner().invoke(predict, ["--stack", "aws-some-dev", *words], **given)

    with behind_signatures(monkeypatch, function, host, service) as paths:
        assert f"release   {published}" in ask().stdout
        row = example(runtime)
        assert len(json.loads(ask("-", "--json", input=b"[%b, %b]" % (row, row)).stdout)["predictions"]) == 2
        explained = ask("--explain")
        if service == "lambda":
            assert "from which every reason moves the score" in explained.stdout
            assert set(paths) == {"/openapi.json", "/predict", "/predict?explain=true"}
        else:
            assert "can't be asked for reasons" in str(explained.exception)
            assert set(paths) == {path}
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another's")
        refused = ask("-", input=row).exception
        assert isinstance(refused, InputRefused)
        assert "It was not let through: Forbidden" in str(refused)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, "/dev/null")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        assert "there are no AWS credentials" in str(ask("-", input=row).exception)


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
