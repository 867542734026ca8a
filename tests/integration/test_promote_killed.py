"""`mlops promote`, killed a hundred times at random moments: every environment still verifies and can go on."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml.bundle import judgement
from ml.problem import Problem, load_problem
from ml.release.approve import approve
from ml.release.audit import audit
from ml.release.policy import Rules, require_deployable
from ml.release.promote import promote
from ml.release.stackfile import pinned
from ml.training import latency
from ml.trust.history import passing_gate
from tests.stages import APPROVER, AUTHOR, release_into, stage

FORK = multiprocessing.get_context("fork")  # a process of its own without a second of imports
KILLS = 100
ENVIRONMENTS = ("dev", "test", "prod")


def promote_to_prod(root: Path, digest: str, problem: Problem) -> None:
    """What two commands do, one after the other."""
    for source, target in (("dev", "test"), ("test", "prod")):
        receiving = stage(root, target)
        promote(stage(root, source), receiving, digest, problem, receiving.signer(AUTHOR), lambda _: None)


def broken(root: Path) -> list[str]:
    return [
        f"{f.stack} {f.subject}: {f.note}" for name in ENVIRONMENTS for f in audit(stage(root, name)) if not f.holds
    ]


def state(root: Path, digest: str) -> tuple[object, ...]:
    """How far the promotion got."""
    stages = [stage(root, name) for name in ENVIRONMENTS[1:]]
    return tuple(
        (len(list(each.store.list())), len(each.ledger.entries()), pinned(each.file) == digest) for each in stages
    )


def run(root: Path, digest: str, problem: Problem, is_time: Callable[[], bool] | None) -> int | None:
    """Promote in a process of its own, killed when it is time; its exit code."""
    child = FORK.Process(target=promote_to_prod, args=(root, digest, problem))
    child.start()
    assert child.pid
    while is_time and child.is_alive():
        if is_time():
            os.kill(child.pid, signal.SIGKILL)
            break
    child.join()
    return child.exitcode


def after(delay_s: float) -> Callable[[], bool]:
    """Time is up: mostly while a model is being checked, which takes longest."""
    end = time.monotonic() + delay_s
    return lambda: time.monotonic() > end


def at_change(root: Path, count: int) -> Callable[[], bool]:
    """So many files have come or gone: a moment when something is being written."""
    return lambda: sum(len(files) for _, _, files in os.walk(root)) >= count


def test_a_promotion_that_is_killed_a_hundred_times_goes_on(
    tmp_path: Path, candidate: Path, small_problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judgement, "FEWEST_CALLS", 2)  # or nearly every kill would come while latency is measured
    monkeypatch.setattr(latency, "WARM_UP_CALLS", 1)
    origin = tmp_path / "origin"
    origin.mkdir()
    digest = release_into(stage(origin, "dev"), candidate, small_problem)

    def fresh(number: int) -> Path:
        return Path(shutil.copytree(origin, tmp_path / f"attempt-{number}"))

    root = fresh(0)
    started = time.monotonic()
    assert run(root, digest, small_problem, None) == 0
    whole_s = time.monotonic() - started

    files = [sum(len(names) for _, _, names in os.walk(folder)) for folder in (origin, root)]
    seeded = random.Random(2016)  # noqa: S311 # delays, not secrets
    kills, attempts, states = 0, 0, set[tuple[object, ...]]()
    while kills < KILLS:
        if attempts % 2 == 0:  # a new promotion is killed at a change, the next one, which goes on with it, at any time
            shutil.rmtree(root)
            root = fresh(attempts + 1)
            exit_code = run(root, digest, small_problem, at_change(root, seeded.randint(*files)))
        else:
            exit_code = run(root, digest, small_problem, after(seeded.uniform(0, whole_s)))
        assert exit_code in (0, -signal.SIGKILL)
        assert not broken(root)
        attempts += 1
        kills += exit_code != 0  # one that was done before its time came counts for nothing
        states.add(state(root, digest))
        assert attempts < 3 * KILLS, "most are really cut short"
    assert len(states) > 15, "at many different points"

    assert run(root, digest, small_problem, None) == 0
    assert not broken(root)
    prod = stage(root, "prod")
    assert pinned(prod.file) == pinned(stage(root, "test").file) == digest
    assert passing_gate(prod.ledger.entries(), digest)
    approve(prod, digest, 1, prod.signer(APPROVER), load_problem())
    assert require_deployable(
        prod.store, prod.ledger, digest, Rules("prod", "test", 1, load_problem()), datetime.now(UTC)
    )
