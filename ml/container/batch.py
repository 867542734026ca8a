"""A training as a job of AWS Batch: in the stack's MLflow, with a report in the store for whoever started it."""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from ml.aws.batch import JOB_ID
from ml.problem import load_problem
from ml.runtime import Runtime
from ml.store import Store
from ml.training.reason import PERSON, REASON

__all__ = ["is_job", "run_job"]


def is_job() -> bool:
    """Whether Batch started this container."""
    return JOB_ID in os.environ


def run_job() -> None:
    """Train on the data in the store; what is wrong is said as `mlops train` says it."""
    started = time.monotonic()

    def progress(line: str) -> None:
        click.echo(f"{time.monotonic() - started:5.1f} s  {line}", err=True)

    runtime, problem = Runtime.load(), load_problem()
    progress("Loading the training libraries")
    from ml.bundle.gate_table import table
    from ml.feedback.challenger import asked_for
    from ml.training.batch import report_key
    from ml.training.candidate import Report
    from ml.training.train import train

    live, comparing = asked_for(os.environ.get(REASON, PERSON), problem, runtime, progress)
    with TemporaryDirectory() as nothing:  # no checkout: what is in the store under the problem's digests is trained on
        result = train(
            problem,
            runtime,
            Path(nothing),
            progress,
            live=live,
            against_champion=comparing,
            job=f"the job {os.environ[JOB_ID]} of Batch",
        )
    trained = result.trained
    click.echo(table(trained.gates))
    report = Report(run_id=result.run_id, evaluation=trained.evaluation, gates=trained.gates)
    Store(runtime.store_uri).write(report_key(os.environ[JOB_ID]), report.model_dump_json(indent=2).encode())
