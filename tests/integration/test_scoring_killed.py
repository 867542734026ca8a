"""Bulk scoring under SIGKILL: whatever the moment, the next run goes on, and the output is that of a run in peace."""

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.problem import Problem
from ml.scoring.job import Job, Share, run
from ml.scoring.output import Output
from ml.store import Store
from tests.conftest import rows_of

ROWS = 6000
PARTS = 2
KILLS = 40
# What scoring asks of the file system to make something last; a kill comes before or after one of these calls.
STEPS = ("replace", "rename", "link", "unlink", "rmdir")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["ml.scoring.job", "ml.scoring.parquet", "sklearn.linear_model", "pandas", "threadpoolctl"]
)


def killed_at(job: Job, step: int, before: bool) -> None:
    """Run a job in this process and kill it at a step."""
    taken = 0

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken == step and before:
                os.kill(os.getpid(), signal.SIGKILL)
            number = taken
            try:
                return call(*arguments, **options)
            finally:
                if number == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        return counted

    for name in STEPS:
        setattr(os, name, deadly(getattr(os, name)))
    run(job)


def start(target: Callable[..., Any], *arguments: Any) -> Any:
    process = FORKS.Process(target=target, args=arguments)
    process.start()
    return process


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def job(tmp_path: Path, small_problem: Problem, store: Store, published: str) -> Job:
    """A job with bad rows in two parts, so that there is something aside too."""
    rows = rows_of(small_problem, ROWS).assign(id=np.arange(ROWS))
    rows.loc[[7, ROWS - 3], "AGEP"] = 999
    rows.to_parquet(tmp_path / "in.parquet", row_group_size=ROWS // PARTS)
    return Job(
        input=str(tmp_path / "in.parquet"),
        output=str(tmp_path / "peace"),
        store_uri=store.uri,
        release=published,
        identifiers=("id",),
        bad_rows="aside",
        rows_per_part=ROWS // PARTS,
    )


@pytest.fixture
def peace(job: Job) -> dict[str, bytes]:
    """The output of a run that nobody disturbs."""
    assert run(job).rows == ROWS
    return folder_bytes(Path(job.output))


def again(job: Job, output: Path) -> Job:
    return Job(**{**vars(job), "output": str(output)})


def test_a_kill_at_every_step_loses_and_doubles_nothing(tmp_path: Path, job: Job, peace: dict[str, bytes]) -> None:
    """One output per step: killed there, then run to its end."""
    step, killed = 0, 0
    while True:
        step += 1
        output = tmp_path / f"out-{step}"
        process = start(killed_at, again(job, output), step, step % 2 == 0)
        process.join(60)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        killed += 1
        if output.exists():  # whoever looks now sees the whole or nothing
            seen = pd.read_parquet(output)
            assert len(seen) == ROWS - 2
        outcome = run(again(job, output))
        assert outcome.is_complete
        assert folder_bytes(output) == peace, f"after a kill at step {step}"
        assert not (tmp_path / f".{output.name}.scoring").exists()
    assert killed > 4 * PARTS


def test_kills_at_random_moments_lose_and_double_nothing(tmp_path: Path, job: Job, peace: dict[str, bytes]) -> None:
    """Two workers with a share each, killed again and again, until an output is whole; and then the next one."""
    moments = random.Random(20261124)  # noqa: S311 # no secret
    started = time.monotonic()
    run(again(job, tmp_path / "undisturbed"))
    longest = time.monotonic() - started
    outputs, killed = 0, 0
    while killed < KILLS:
        outputs += 1
        output = tmp_path / f"out-{outputs}"
        while killed < KILLS and not output.exists():
            shares = [Job(**{**vars(again(job, output)), "share": Share(index, 2)}) for index in (1, 2)]
            workers = [start(run, share) for share in shares]
            workers[killed % 2].join(moments.uniform(0.0, longest))
            for worker in workers:
                worker.kill()
                worker.join()
                killed += worker.exitcode == -signal.SIGKILL
        assert run(again(job, output)).rows == ROWS
        assert folder_bytes(output) == peace


def test_the_copy_of_a_bundle_that_a_killed_run_left_goes_with_the_next(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    killed = start(killed_in, temporary, job)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert len(list(temporary.glob("*/files/bundle/manifest.json"))) == 1
    assert run(job).rows == ROWS
    assert list(temporary.iterdir()) == []


def killed_in(temporary: Path, job: Job) -> None:
    """Killed when the parts have been begun: the bundle is there."""
    tempfile.tempdir = str(temporary)
    Output.done = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # pyright: ignore[reportAttributeAccessIssue]
    run(job)
