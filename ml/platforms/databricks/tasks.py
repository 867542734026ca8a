"""The wheel's tasks on Databricks: one command of `mlops` each, with the store reached by a service credential.

A job of Databricks calls `main` (the entry point `mlops-databricks`) with named parameters, as
`--task=train --runtime=s3://… --credential=… --region=…`.
"""

import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import click

from ml.container.job import report_of, train_as_job
from ml.errors import InputRefused
from ml.platforms.databricks.store import store_credentials
from ml.platforms.databricks.training import RESULT
from ml.problem import load_problem
from ml.runtime import Runtime
from ml.store import Store
from ml.training.datasets import key_of_dataset
from ml.training.reason import PERSON
from ml.trust.keys import TRUSTED_VARIABLE

__all__ = ["main"]

KEYS: Final = Path(__file__).parents[2] / "keys"  # infra/clouds/databricks/wheel.py puts them there
JOB: Final = "a job of Databricks"  # who vouches for what is trained here


class Given(NamedTuple):
    """What a task is told beside where it runs."""

    reason: str
    data: str
    output: str
    inference_table: str


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: mlops-databricks --task=train --runtime=s3://store/runtime/jobs.json",
)
@click.option("--task", required=True, type=click.Choice(["train", "score", "monitor", "retrain"]))
@click.option("--runtime", required=True, help="Where the stack's description is, or the description as JSON.")
@click.option("--credential", help="The service credential of Unity Catalog by which the store is reached.")
@click.option("--region", help="The region of AWS that the store is in.")
@click.option("--reason", default=PERSON, help="Why a training was started.")
@click.option("--data", default="", help="What is scored.")
@click.option("--output", default="", help="Where the scores go.")
@click.option("--inference-table", default="", help="Where the endpoint keeps what it was asked and has answered.")
def run(
    task: str,
    runtime: str,
    credential: str | None,
    region: str | None,
    reason: str,
    data: str,
    output: str,
    inference_table: str,
) -> None:
    """Run one task of a job; what goes wrong is raised, for a job of Databricks takes any exit for a failure."""
    os.environ["MLOPS_RUNTIME"] = runtime
    os.environ.setdefault(TRUSTED_VARIABLE, str(KEYS))
    with store_credentials(credential, region):
        TASKS[task](Given(reason, data, output, inference_table))


def main() -> None:
    """Called by Databricks, with the parameters as words of the command line."""
    run.main(sys.argv[1:], standalone_mode=False)


def _train(given: Given) -> None:
    """On the data that the store holds, for no job has a checkout."""
    runtime, problem = Runtime.load(), load_problem()
    store = Store(runtime.store_uri)
    with TemporaryDirectory() as root:
        for name in (problem.split.train, problem.split.test):
            kept = key_of_dataset(problem, name)
            if not store.exists(kept):
                raise InputRefused(f"There is no {store.url(kept)}. `mlops train --stack {runtime.stack}` brings it.")
            file = Path(root) / problem.datasets.root / problem.datasets.files[name].path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(store.read(kept))
        result = train_as_job(problem, runtime, Path(root), given.reason, JOB, click.echo)
    click.echo(f"{RESULT}{report_of(result).model_dump_json()}")


def _score(given: Given) -> None:
    runtime = Runtime.load()
    if not (runtime.release and given.data and given.output):
        raise InputRefused(
            "A scoring needs a pinned release and the job's parameters `data` and `output`: start the job with them."
        )
    _mlops("score", given.data, given.output, "--store", runtime.store_uri, "--release", runtime.release)


def _monitor(given: Given) -> None:
    """The prediction log is complete first: nothing but the endpoint's inference table knows what it was asked."""
    from ml.governance.retention import first_kept_day
    from ml.platforms.databricks.inference_table import bring
    from ml.scoring.spark import session

    runtime = Runtime.load()
    kept = runtime.log_retention_days
    first = first_kept_day(datetime.now(UTC), kept) if kept else None
    bring(session(), given.inference_table, Store(runtime.store_uri), load_problem(), first, click.echo)
    _mlops("monitor", "run")


def _retrain(_given: Given) -> None:
    """Ask for a training where it is time; the request is a file, and its arrival starts the job."""
    _mlops("retrain", "--check", "--request")


def _mlops(*words: str) -> None:
    from ml.cli import mlops

    _ended(mlops.main(words, standalone_mode=False), words)


def _ended(code: object, words: Sequence[str]) -> None:
    if isinstance(code, int) and code:
        raise RuntimeError(f"mlops {' '.join(words)} ended with {code}")


TASKS: Final[dict[str, Callable[[Given], None]]] = {
    "train": _train,
    "score": _score,
    "monitor": _monitor,
    "retrain": _retrain,
}
