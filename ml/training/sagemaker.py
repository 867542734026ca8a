"""Train on SageMaker: bring the data into the store, start the stack's pipeline, and say how it goes until it ends."""

import time
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Final

from ml.data.read import ingest
from ml.errors import MlopsError
from ml.problem import Problem
from ml.runtime import Runtime
from ml.store import Store

__all__ = ["run_pipeline"]

DATASETS: Final = "datasets"  # the prefix of the store that the pipeline's training channel names
POLL_S: Final = 10.0
UNDER_WAY: Final = frozenset({"Executing", "Stopping"})
Progress = Callable[[str], None]


def run_pipeline(
    problem: Problem, runtime: Runtime, root: Path, progress: Progress, *, poll_s: float = POLL_S
) -> dict[str, str]:
    """The finished execution: its ARN, its status and the stack. MlopsError when it didn't succeed.

    The pipeline goes on when this process is ended: what it trains is in the stack's tracking server all the same.
    """
    pipeline = runtime.training_job or ""
    sagemaker = _client(pipeline)
    _upload(problem, Store(runtime.store_uri), root, progress)
    execution = sagemaker.start_pipeline_execution(
        PipelineName=pipeline.rpartition("/")[2],
        PipelineParameters=[{"Name": "Reason", "Value": "person"}],
        ClientRequestToken=uuid.uuid4().hex,
    )["PipelineExecutionArn"]
    progress(f"Started {execution}")
    said = ""
    while True:
        state = sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
        status = state["PipelineExecutionStatus"]
        if status != said:
            progress(f"The pipeline is {status}")
        if status not in UNDER_WAY:
            break
        said = status
        time.sleep(poll_s)  # SageMaker tells nobody; it is asked
    if status != "Succeeded":
        why = state.get("FailureReason") or "its steps in SageMaker say why"
        raise MlopsError(f"The training {execution} ended as {status}: {why}.")
    return {"stack": runtime.stack, "execution": execution, "status": status}


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


def _client(arn: str) -> Any:
    try:
        import boto3
    except ImportError as error:
        raise MlopsError("Training on SageMaker needs boto3: install this project with its extra `aws`.") from error
    return boto3.client("sagemaker", region_name=arn.split(":")[3])
