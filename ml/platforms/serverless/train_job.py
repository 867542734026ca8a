"""A training as a job of AWS Batch: in the stack's MLflow, with a report in the store for whoever started it."""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from ml.container.job import report_of, train_as_job
from ml.platforms.serverless.jobs import JOB_ID
from ml.platforms.serverless.training import report_key
from ml.problem import load_problem
from ml.runtime import Runtime
from ml.store import Store
from ml.training.reason import PERSON, REASON

__all__ = ["run_job"]


def run_job() -> int:
    """Train on the data in the store; what is wrong is said as `mlops train` says it."""
    started = time.monotonic()

    def progress(line: str) -> None:
        click.echo(f"{time.monotonic() - started:5.1f} s  {line}", err=True)

    runtime, problem, job = Runtime.load(), load_problem(), os.environ[JOB_ID]
    with TemporaryDirectory() as nothing:  # no checkout: what is in the store under the problem's digests is trained on
        reason, named = os.environ.get(REASON, PERSON), f"the job {job} of Batch"
        result = train_as_job(problem, runtime, Path(nothing), reason, named, progress)
    from ml.bundle.gate_table import table

    click.echo(table(result.trained.gates))
    Store(runtime.store_uri).write(report_key(job), report_of(result).model_dump_json(indent=2).encode())
    return 0
