"""A storm of triggers starts one run; a dead holder is replaced by one other, and may not finish when it wakes."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml.feedback._incoming import from_file
from ml.feedback.labels import add_labels
from ml.feedback.lease import RUNS, Busy, LeaseLost, Result, begin, last_training
from ml.problem import load_problem
from ml.store import Store
from tests.live import labels_file, log_rows, runtime_json, write_log

STORM = """
import os, sys, time
from datetime import UTC, datetime
from pathlib import Path
from ml.feedback import retrain as module
from ml.feedback.lease import Busy, Result
from ml.problem import load_problem
from ml.runtime import Runtime

rules = {"maximum_age_days": 365, "minimum_new_labels": 1, "cooldown_days": 7, "comparison_fraction": 0.5,
         "minimum_comparison_rows": 2, "maximum_cost_increase": 1.0}
problem = load_problem()
problem = problem.model_copy(update={"retraining": problem.retraining.model_copy(update=rules)})

def train(problem, source, target, root, progress, run, labelled, verdict):
    with open(sys.argv[1], "a") as file:
        file.write(f"{os.getpid()}\\n")
    run.finish(Result(outcome="candidate", at=datetime.now(UTC), release="sha256:" + "d" * 64))
    return "sha256:" + "d" * 64, "its-mlflow-run", None

module._train = train
runtime = Runtime.load()
print("ready", flush=True)
sys.stdin.readline()
try:
    done = module.retrain(problem, runtime, runtime, Path(), lambda line: None)
    print("ran" if done.release else "not due")
except Busy:
    print("busy")
"""

HOLDER = """
import sys
from ml.feedback.lease import begin
from ml.store import Store
with begin(Store(sys.argv[1]), lease_s=float(sys.argv[2])) as run:
    print(run.number, flush=True)
    sys.stdin.read()
"""


def finished() -> Result:
    return Result(outcome="candidate", at=datetime.now(UTC))


def wait_until_free(store: Store, lease_s: float) -> int:
    deadline = time.monotonic() + 60
    while True:
        try:
            with begin(store, lease_s) as run:
                run.finish(finished())
                return run.number
        except Busy:
            assert time.monotonic() < deadline
            threading.Event().wait(0.05)


def holder(store: Store, lease_s: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, store.uri, str(lease_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip().isdigit()
    return process


@pytest.fixture
def champion(store: Store, published: str) -> str:
    """A release in the store, and predictions of it."""
    problem, now = load_problem(), datetime.now(UTC)
    write_log(store, problem, log_rows(problem, 10, now - timedelta(hours=1), release=published))
    return published


def test_a_storm_of_ten_starts_one_run(store: Store, champion: str, tmp_path: Path) -> None:
    labels = labels_file(tmp_path, {f"r-{number}": number % 2 for number in range(10)})
    assert add_labels(store, load_problem(), from_file(labels), "file", "a", datetime.now(UTC)).accepted == 10
    environment = os.environ | {"MLOPS_RUNTIME": runtime_json(store, release=champion)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STORM, str(tmp_path / "runs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(10)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # all at once
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert answers.count("ran") == 1
    assert set(answers) <= {"ran", "busy", "not due"}
    assert len((tmp_path / "runs").read_text().splitlines()) == 1
    last = last_training(store)
    assert last is not None
    assert last.outcome == "candidate"


def test_while_one_runs_others_are_told_who(store: Store) -> None:
    with begin(store) as run:
        with pytest.raises(Busy, match=rf"run 1 is under way: .*:{os.getpid()} began it"), begin(store):
            pass
        run.finish(finished())
    with begin(store) as run:
        assert run.number == 2


def test_a_dead_holder_is_replaced_by_one(store: Store) -> None:
    process = holder(store, 1.0)
    with pytest.raises(Busy), begin(store, 1.0):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert wait_until_free(store, 1.0) == 2


def test_a_living_holder_keeps_its_lease_beyond_its_length(store: Store) -> None:
    process = holder(store, 1.0)
    until = time.monotonic() + 3
    while time.monotonic() < until:
        with pytest.raises(Busy), begin(store, 1.0):
            pass
        threading.Event().wait(0.1)
    process.kill()
    process.wait()


def test_a_store_that_is_away_for_a_moment_costs_no_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([OSError("503"), RuntimeError("throttled")])
    written = Store.write

    def write(self: Store, key: str, data: bytes) -> None:
        if key.startswith(RUNS) and (failure := next(failures, None)):
            raise failure
        written(self, key, data)

    monkeypatch.setattr(Store, "write", write)
    with begin(store, 0.4) as run:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            threading.Event().wait(0.05)
        with pytest.raises(Busy), begin(store):
            pass
        run.finish(finished())


def test_who_was_away_too_long_may_not_finish(store: Store) -> None:
    process = holder(store, 0.5)
    process.send_signal(signal.SIGSTOP)
    number = wait_until_free(store, 5.0)
    process.send_signal(signal.SIGCONT)
    assert number == 2
    process.kill()
    process.wait()
    with begin(store, 5.0) as run:
        store.create(f"{RUNS}/{run.number + 1:06d}/lease.json", b"{}")  # what a successor does
        with pytest.raises(LeaseLost, match=f"run {run.number + 1} took its place"):
            run.finish(finished())


def test_a_failure_is_recorded_and_the_next_may_begin(store: Store) -> None:
    with pytest.raises(RuntimeError), begin(store):
        raise RuntimeError("no MLflow")
    assert b"no MLflow" in store.read(f"{RUNS}/000001/result.json")
    assert last_training(store) is None  # nothing was trained: no cooldown
    with begin(store) as run:
        assert run.number == 2
