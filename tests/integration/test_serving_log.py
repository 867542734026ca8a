"""A real server that is killed: what it answered is in the log once, but for the last second."""

import json
import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ml.predictions import read_log
from ml.problem import Problem
from ml.store import Store
from tests.integration.test_serving_process import JSON, body, server, state

__all__ = ["body"]  # a fixture
FLUSH_S = 0.2


def logged_ids(store: Store, problem: Problem) -> list[str]:
    now = datetime.now(UTC)
    return read_log(store, problem, now - timedelta(days=1), now + timedelta(days=1))["prediction_id"].to_pylist()


def test_a_killed_server_loses_at_most_the_last_flush(
    tmp_path: Path, store: Store, published: str, small_problem: Problem, body: bytes
) -> None:
    state(tmp_path, published)
    answered: dict[str, float] = {}
    for start in range(3):
        with server(tmp_path, store, "--flush-interval-s", str(FLUSH_S), "--rotate-interval-s", "0.5") as running:
            running.wait_for(lambda running=running: running.ask("GET", "/ready")[0] == 200)
            until = time.monotonic() + 1.5 + start / 10
            while time.monotonic() < until:
                name = f"{start}-{len(answered)}"
                assert running.ask("POST", "/predict", body, JSON | {"X-Request-ID": name})[0] == 200
                answered[name] = time.monotonic()
            os.kill(running.popen.pid, signal.SIGKILL)
            running.popen.wait()
            killed = time.monotonic()
        certain = {name for name, at in answered.items() if name.startswith(f"{start}-") and at < killed - FLUSH_S - 1}
        answered = {n: at for n, at in answered.items() if not n.startswith(f"{start}-") or n in certain}
    with server(tmp_path, store) as running:
        running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)
        running.wait_for(lambda: answered.keys() <= set(logged_ids(store, small_problem)))
        running.end()
    found = logged_ids(store, small_problem)
    assert len(found) == len(set(found))
    assert len(answered) > 10


def test_a_server_that_ends_brings_every_answer_to_the_store(
    tmp_path: Path, store: Store, published: str, small_problem: Problem, body: bytes
) -> None:
    state(tmp_path, published)
    with server(tmp_path, store) as running:
        running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)
        many = json.dumps({"rows": [json.loads(body)] * 50, "subjects": ["Ada Lovelace"] * 50}).encode()

        def ask(name: str) -> None:
            for number in range(10):
                assert running.ask("POST", "/predict", many, JSON | {"X-Request-ID": f"{name}{number}"})[0] == 200

        threads = [threading.Thread(target=ask, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        running.end()
    expected = {f"{name}{number}-{row}" for name in "ab" for number in range(10) for row in range(50)}
    found = logged_ids(store, small_problem)
    assert len(found) == 1000
    assert set(found) == expected
    everything = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in everything if b"Lovelace" in file.read_bytes()]
