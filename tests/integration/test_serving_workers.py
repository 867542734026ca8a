"""Several workers behind one socket: they serve, swap and count as one, and outlive each other."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ml.bundle.bundle import key_of
from ml.bundle.schema import BundleSchema
from ml.errors import InputRefused
from ml.http import workers
from ml.http.workers import workers_of
from ml.problem import Problem
from ml.scratch import scratch_folder
from ml.store import Store
from tests.processes import JSON, Process, reload, server, state

WORKERS = ("--workers", "3")


@pytest.fixture
def body(small_problem: Problem) -> bytes:
    return json.dumps(BundleSchema.of(small_problem).example).encode()


def worker_pids(running: Process) -> set[int]:
    """Those that live: not the helper of multiprocessing, and not one that is dead and not yet replaced."""
    found: set[int] = set()
    for child in psutil.Process(running.popen.pid).children():
        with contextlib.suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
            if "spawn_main" in " ".join(child.cmdline()):
                found.add(child.pid)
    return found


def releases_of(running: Process, body: bytes, count: int) -> Counter[str]:
    """Which releases answer, each time over a connection of its own."""
    return Counter(json.loads(running.ask("POST", "/predict", body, JSON)[1])["release"] for _ in range(count))


def metric(running: Process, name: str) -> float | None:
    text = running.ask("GET", "/metrics")[1].decode()
    return next((float(x.rsplit(" ", 1)[1]) for x in text.splitlines() if x.startswith(name + " ")), None)


def is_ready(running: Process) -> bool:
    return running.ask("GET", "/ready")[0] == 200 and metric(running, "mlops_workers") == 3


def test_workers_wait_serve_count_and_swap_as_one(
    tmp_path: Path, store: Store, published: str, publish_version: Callable[[str], str], body: bytes
) -> None:
    second, broken = publish_version("2"), publish_version("3")
    with server(tmp_path, store, *WORKERS, "--rotate-interval-s", "0.5") as running:
        running.wait_for(lambda: b"No release is deployed yet" in running.ask("GET", "/ready")[1])
        state(tmp_path, published)
        running.wait_for(lambda: is_ready(running))
        assert releases_of(running, body, 30) == {published: 30}
        predicted = sum_of(running, "mlops_predictions_total{")
        assert predicted == 30
        assert metric(running, 'mlops_requests_total{route="/predict",status="200"}') == 30
        seen: list[tuple[float, str]] = []
        stop = threading.Event()

        def load() -> None:
            while not stop.is_set():
                started = time.monotonic()
                seen.append((started, json.loads(running.ask("POST", "/predict", body, JSON)[1])["release"]))

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        swaps: list[tuple[float, float, str]] = []
        for release in (second, published, second):
            state(tmp_path, release)
            asked = time.monotonic()
            assert reload(running, tmp_path)[0] == 200
            swaps.append((asked, time.monotonic(), release))
            threading.Event().wait(0.3)
        stop.set()
        for thread in threads:
            thread.join()
        for (_, done, release), (until, _, _) in zip(swaps, [*swaps[1:], (time.monotonic(), 0.0, "")], strict=True):
            after = {found for started, found in seen if done < started < until - 1}
            assert after <= {release}
        assert releases_of(running, body, 20) == {second: 20}

        store.write(f"{key_of(broken)}/model/model.pkl", b"evil")
        state(tmp_path, broken)
        status, said = reload(running, tmp_path)
        assert (status, "was altered" in said["error"]) == (409, True)
        assert releases_of(running, body, 20) == {second: 20}
        total = sum_of(running, "mlops_predictions_total{")
        running.wait_for(lambda: sum_of(running, 'mlops_prediction_log_rows_total{result="stored"') == total)
        assert running.end() == 0
    assert b"Traceback" not in running.said, running.said.decode()


def sum_of(running: Process, start: str) -> float:
    text = running.ask("GET", "/metrics")[1].decode()
    return sum(float(x.rsplit(" ", 1)[1]) for x in text.splitlines() if x.startswith(start))


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """With a short path, for sockets."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_a_worker_that_is_killed_takes_no_other_with_it_and_comes_back_as_the_others_are(
    tmp_path: Path, temporary: Path, store: Store, published: str, publish_version: Callable[[str], str], body: bytes
) -> None:
    second = publish_version("2")
    state(tmp_path, published)
    with server(tmp_path, store, *WORKERS) as running:
        running.wait_for(lambda: is_ready(running))
        before = sum_of(running, "mlops_predictions_total{") + releases_of(running, body, 10).total()
        state(tmp_path, second)  # nobody is told: a worker that starts again must not serve it alone
        killed = min(worker_pids(running))
        os.kill(killed, signal.SIGKILL)
        failed = 0
        while killed in worker_pids(running) or len(worker_pids(running)) < 3:
            try:
                assert running.ask("POST", "/predict", body, JSON)[0] == 200
                before += 1
            except OSError:
                failed += 1  # at most what the killed one held in its hands
        assert failed <= 1
        running.wait_for(lambda: is_ready(running))
        assert releases_of(running, body, 30) == {published: 30}
        assert sum_of(running, "mlops_predictions_total{") == before + 30  # with what the killed one counted
        assert reload(running, tmp_path)[0] == 200
        assert releases_of(running, body, 30) == {second: 30}
        pids = worker_pids(running)
        running.popen.kill()
        psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=30)
        assert not any(psutil.pid_exists(pid) for pid in pids)  # nobody would end them
        (left,) = temporary.glob("mlops-*")
        with scratch_folder():
            assert not left.exists()


DYING = """
import os, sys
from ml.errors import MlopsError
from ml.http.limits import ConnectionLimits
from ml.http.run import run_workers

def killed(folder): os.kill(os.getpid(), 9)
def broken(folder): raise ValueError("it can't start")

if __name__ == "__main__":
    try:
        run_workers(globals()[sys.argv[1]], 2, "127.0.0.1", 0, ConnectionLimits(), 1)
    except MlopsError as error:
        sys.exit(f"said: {error}")
"""


@pytest.mark.parametrize("how", ["killed", "broken"])
def test_workers_that_can_not_live_end_the_server_with_an_error(tmp_path: Path, how: str) -> None:
    script = tmp_path / "dying.py"
    script.write_text(DYING)
    done = subprocess.run([sys.executable, str(script), how], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "said: The workers can't start, or die again and again" in done.stderr
    assert ("it can't start" in done.stderr) == (how == "broken")


def test_what_is_under_way_is_finished_and_what_comes_is_refused(
    tmp_path: Path, store: Store, published: str, body: bytes
) -> None:
    state(tmp_path, published)
    for options in (WORKERS, ()):
        with server(tmp_path, store, *options, "--drain-s", "5") as running:
            running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)
            head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            with (
                socket.create_connection(("127.0.0.1", running.port), timeout=30) as under_way,
                socket.create_connection(("127.0.0.1", running.port), timeout=30) as stuck,
            ):
                for raw in (under_way, stuck):
                    raw.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:5])
                threading.Event().wait(0.5)  # until the server holds both
                running.popen.send_signal(signal.SIGTERM)
                refused(running)
                under_way.sendall(body[5:])
                assert b"HTTP/1.1 200" in under_way.recv(65536)
                assert b"HTTP/1.1 503" in stuck.recv(65536)
            assert running.popen.wait(timeout=30) in (0, -signal.SIGTERM)


def refused(running: Process) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            socket.create_connection(("127.0.0.1", running.port), timeout=5).close()
        except ConnectionRefusedError:
            return
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


@pytest.mark.parametrize(
    ("limit", "processors", "expected"),
    [("max 100000", 4, 4), ("250000 100000", 4, 2), ("50000 100000", 4, 1), ("800000 100000", 2, 2)],
)
def test_auto_is_what_the_container_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, processors: int, expected: int
) -> None:
    (tmp_path / "cpu.max").write_text(limit + "\n")
    monkeypatch.setattr(workers, "CGROUP_2", tmp_path / "cpu.max")
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _pid: set(range(processors)))
    assert workers_of("auto") == expected


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1.5", "65", ""])
def test_another_number_of_workers_is_refused(wrong: str) -> None:
    with pytest.raises(InputRefused, match="--workers"):
        workers_of(wrong)
