"""Start the stack's training pipeline, on data that are checked and in the store."""

import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

from ml.aws.client import client, region_of
from ml.data.read import ingest
from ml.problem import Problem
from ml.runtime import Runtime
from ml.store import Store

__all__ = ["start"]

DATASETS: Final = "datasets"  # the prefix of the store that the pipeline's training channel names
Progress = Callable[[str], None]


def start(problem: Problem, runtime: Runtime, root: Path, progress: Progress) -> str:
    """The ARN of the execution that was started; DataRefused, and nothing is started, for other data."""
    pipeline = runtime.training_job or ""
    sagemaker = client("sagemaker", region_of(pipeline))
    _upload(problem, Store(runtime.store_uri), root, progress)
    execution: str = sagemaker.start_pipeline_execution(
        PipelineName=pipeline.rpartition("/")[2],
        PipelineParameters=[{"Name": "Reason", "Value": "person"}],
        ClientRequestToken=uuid.uuid4().hex,
    )["PipelineExecutionArn"]
    progress(f"Started {execution}")
    return execution


def _upload(problem: Problem, store: Store, root: Path, progress: Progress) -> None:
    """What the training reads, under the names that it looks for; bytes that are there already stay."""
    for name in (problem.split.train, problem.split.test):
        kept = ingest(problem, name, store, root).uri  # checked: what is not the problem's dataset is refused
        content = store.read(kept.removeprefix(f"{store.uri}/"))
        target = f"{DATASETS}/{PurePosixPath(problem.datasets.files[name].path).name}"
        if store.exists(target) and store.read(target) == content:
            continue
        progress(f"Bringing the dataset {name} to {store.url(target)}")
        store.write(target, content)
