"""The server and the monitor as processes, over real sockets."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ml.bundle.bundle import SIGNATURE_FILE, key_of
from ml.bundle.schema import BundleSchema
from ml.errors import InputRefused
from ml.problem import Problem
from ml.runtime import Runtime
from ml.serving.command import predict
from ml.store import Store
from tests.processes import JSON, START_S, process, reload, server, state


@pytest.fixture
def body(small_problem: Problem) -> bytes:
    return json.dumps(BundleSchema.of(small_problem).example).encode()


def test_a_server_waits_for_its_release_serves_it_and_ends_when_told(
    tmp_path: Path, store: Store, published: str, body: bytes
) -> None:
    with server(tmp_path, store) as running:
        running.wait_for(lambda: b"No release is deployed yet" in running.ask("GET", "/ready")[1])
        assert running.ask("GET", "/health")[0] == 200
        state(tmp_path, published)
        running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)
        status, answer = running.ask("POST", "/predict", body, JSON)
        assert (status, json.loads(answer)["release"]) == (200, published)
        assert running.end() == -signal.SIGTERM


def test_the_limits_hold_over_a_real_socket(tmp_path: Path, store: Store, published: str, body: bytes) -> None:
    state(tmp_path, published)
    with server(tmp_path, store) as running:
        running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)
        for wrong in (b"", b"{", b"\xff", b"[" * 100_000, b'{"x": NaN}', b'[{"x": 1}]'):
            status, answer = running.ask("POST", "/predict", wrong, JSON)
            assert 400 <= status < 500
            assert json.loads(answer)["error"]
        with socket.create_connection(("127.0.0.1", running.port), timeout=30) as raw:
            raw.sendall(
                b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 999999999\r\n\r\n"
            )
            assert raw.recv(4096).startswith(b"HTTP/1.1 413")
        with socket.create_connection(("127.0.0.1", running.port), timeout=30) as raw:
            raw.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
            assert b"400" in raw.recv(4096)
        assert running.ask("POST", "/predict", body, JSON)[0] == 200


def test_releases_are_swapped_under_load_without_one_failed_request(
    tmp_path: Path, store: Store, published: str, publish_version: Callable[[str], str], body: bytes
) -> None:
    second = publish_version("2")
    state(tmp_path, published)
    with server(tmp_path, store) as running:
        running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)
        seen: list[tuple[int, str, str]] = []
        wrong: list[object] = []
        stop = threading.Event()

        def load() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
            try:
                while not stop.is_set():
                    connection.request("POST", "/predict", body, JSON)
                    response = connection.getresponse()
                    answer = json.loads(response.read())
                    seen.append((response.status, answer.get("release"), answer.get("version")))
            except Exception as error:
                wrong.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for release in (second, published, second, published, second):
            before = len(seen)
            running.wait_for(lambda before=before: len(seen) > before + 20)
            state(tmp_path, release)
            status, said = reload(running, tmp_path)
            assert (status, said["release"]) == (200, release)
        before = len(seen)
        running.wait_for(lambda: len(seen) > before + 20)
        stop.set()
        for thread in threads:
            thread.join(timeout=30)
        assert not wrong
        assert {status for status, _, _ in seen} == {200}
        assert {(release, version) for _, release, version in seen} == {(published, "1"), (second, "2")}
        assert all(release == second for _, release, _ in seen[-8:])
        assert running.end() == -signal.SIGTERM


def test_a_server_starts_again_from_its_cache_and_refuses_a_tampered_store(
    tmp_path: Path, store: Store, published: str, publish_version: Callable[[str], str], body: bytes
) -> None:
    second = publish_version("2")
    state(tmp_path, published)
    with server(tmp_path, store) as running:
        running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)
        store.write(f"{key_of(second)}/model/model.pkl", b"evil")
        state(tmp_path, second)
        status, said = reload(running, tmp_path)
        assert status == 409
        assert "model/model.pkl was altered" in said["error"]
        assert json.loads(running.ask("POST", "/predict", body, JSON)[1])["release"] == published
    state(tmp_path, published)
    for key in list(store.list(key_of(published))):
        if not key.endswith(SIGNATURE_FILE):  # who signed it is asked of the store at every start
            store.delete(key)
    with server(tmp_path, store) as running:
        running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)


def test_predict_asks_the_stacks_endpoint(
    tmp_path: Path, store: Store, published: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    state(tmp_path, published)
    with server(tmp_path, store) as running:
        runtime = Runtime(
            stack="local-dev",
            cloud="local",
            platform="process",
            environment="dev",
            store_uri=store.uri,
            tracking_uri="http://127.0.0.1:1",
            monitor_url="http://127.0.0.1:1",
            endpoint_url=f"http://127.0.0.1:{running.port}",
        )
        monkeypatch.setattr(Runtime, "load", lambda _stack: runtime)
        running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)
        file = tmp_path / "rows.json"
        file.write_bytes(b'{"rows": [' + b", ".join([body] * 25) + b"]}")

        def ask(*arguments: str, **given: Any) -> Result:
            return CliRunner().invoke(predict, ["--stack", "local-dev", *arguments], **given)

        assert published in ask().stdout
        assert "from which every reason moves the score" in ask("--explain").stdout
        assert "5 more rows" in ask(str(file)).stdout
        assert json.loads(ask("-", "--json", input=body).stdout)["release"] == published
        refused = ask("-", input=b'{"AGEP": true}').exception
        assert isinstance(refused, InputRefused)
        assert "row 0, column AGEP: expected an integer" in str(refused)
        monkeypatch.setattr(Runtime, "load", lambda _stack: runtime.model_copy(update={"endpoint_url": None}))
        assert "serves nothing yet" in str(ask().exception)
    monkeypatch.setattr(Runtime, "load", lambda _stack: runtime)
    assert "can't be reached" in str(ask().exception)


def test_a_taken_port_is_said_in_a_sentence(tmp_path: Path, store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in (["serve", "--deployment", str(tmp_path / "d.json")], ["monitor"]):
            ended = subprocess.run(
                [sys.executable, "-m", "ml", *command, "--store", store.uri, "--port", port],
                capture_output=True,
                text=True,
                timeout=START_S,
                check=False,
            )
            assert ended.returncode == 2
            assert f"Can't listen on 127.0.0.1:{port}" in ended.stderr
            assert "Traceback" not in ended.stderr


def test_the_monitor_says_what_it_sees(tmp_path: Path, store: Store, published: str, body: bytes) -> None:
    state(tmp_path, published)
    with server(tmp_path, store) as running:
        endpoint = f"http://127.0.0.1:{running.port}"
        running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)
        for _ in range(3):
            assert running.ask("POST", "/predict", body, JSON)[0] == 200
        with process("monitor", "--endpoint", endpoint, "--store", store.uri, "--interval-s", "0.1") as monitor:

            def metric(name: str) -> str | None:
                text = monitor.ask("GET", "/metrics")[1].decode()
                return next((x.rsplit(" ", 1)[1] for x in text.splitlines() if x.startswith(name)), None)

            monitor.wait_for(lambda: metric("mlops_endpoint_predictions") == "3.0")
            assert metric("mlops_endpoint_up") == "1.0"
            assert metric(f'mlops_endpoint_release_info{{model="employment",release="{published}"') == "1.0"
            page = monitor.ask("GET", "/")[1].decode()
            assert published in page
            assert "Endpoint: up" in page
            running.end()
            monitor.wait_for(lambda: metric("mlops_endpoint_up") == "0.0")
            assert metric("mlops_endpoint_release_info{") is None
            assert "Endpoint: down" in monitor.ask("GET", "/")[1].decode()
            assert monitor.ask("GET", "/health")[0] == 200
            assert monitor.end() == -signal.SIGTERM


def test_a_monitor_without_an_endpoint_says_so(store: Store) -> None:
    with process("monitor", "--store", store.uri) as monitor:
        assert json.loads(monitor.ask("GET", "/health")[1])["endpoint"] is None
        assert "Nothing is released yet" in monitor.ask("GET", "/")[1].decode()
        assert monitor.ask("GET", "/metrics")[0] == 200
        assert monitor.ask("GET", "/nothing")[0] == 404
        assert monitor.ask("POST", "/")[0] == 405


def test_a_server_that_predicts_has_loaded_none_of_the_training_libraries(
    tmp_path: Path, store: Store, published: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # the process itself says what it imports
    state(tmp_path, published)
    with server(tmp_path, store) as running:
        running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)
        assert running.ask("POST", "/predict", body, JSON)[0] == 200
        assert running.ask("GET", "/metrics")[0] == 200
        running.end()
    # With what is in them: a package that was looked for and not loaded is named alone.
    imported = {
        name.partition(b".")[0] for name in re.findall(rb"^import time:.*\| +(\w+\.\w+)", running.said, re.MULTILINE)
    }
    assert b"numpy" in imported
    assert imported & {b"pandas", b"sklearn", b"mlflow", b"scipy", b"treelite", b"shap"} == set()
