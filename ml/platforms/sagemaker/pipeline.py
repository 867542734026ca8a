"""Start the stack's training pipeline, on data that are checked and in the store."""

import uuid
from collections.abc import Callable
from pathlib import Path

from ml.errors import MlopsError
from ml.platforms.aws.client import aws_errors, client, region_of
from ml.problem import Problem
from ml.runtime import Runtime
from ml.store import Store
from ml.training.datasets import upload as _upload

__all__ = ["start"]

Progress = Callable[[str], None]


def start(problem: Problem, runtime: Runtime, root: Path, progress: Progress) -> str:
    """The ARN of the execution that was started; DataRefused, and nothing is started, for other data."""
    pipeline = runtime.training_job or ""
    sagemaker = client("sagemaker", region_of(pipeline))
    _upload(problem, Store(runtime.store_uri), root, progress)
    name = pipeline.rpartition("/")[2]
    try:
        execution: str = sagemaker.start_pipeline_execution(
            PipelineName=name,
            PipelineParameters=[{"Name": "Reason", "Value": "person"}],
            ClientRequestToken=uuid.uuid4().hex,
        )["PipelineExecutionArn"]
    except aws_errors() as error:
        raise MlopsError(
            f"SageMaker starts no run of {name}: {error} `pulumi up` of {runtime.stack} makes the pipeline, and its CI "
            "role may start it."
        ) from error
    progress(f"Started {execution}")
    return execution
