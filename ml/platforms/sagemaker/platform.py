"""SageMaker, as the commands use it."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ml.bundle.job_result import JobResult
from ml.following import Say
from ml.platform import Observed, Platform, Registry
from ml.platforms.aws.platform import AwsPlatform
from ml.problem import Problem
from ml.runtime import Runtime

__all__ = ["PLATFORM"]

EXECUTION: Final = re.compile(r"arn:[^:]+:sagemaker:[^:]+:[^:]*:pipeline/[^/]+/execution/[^/]+")


class SageMaker(AwsPlatform):
    """A pipeline trains, an endpoint with variants answers, a group of model packages lists releases."""

    answers_rows_alone = True

    def train(self, problem: Problem, runtime: Runtime, root: Path, say: Say) -> str:
        """An execution of the stack's pipeline, by its ARN."""
        from ml.platforms.sagemaker.pipeline import start

        return start(problem, runtime, root, say)

    def follow_training(self, job: str, say: Say, show: Say, runtime: Runtime) -> JobResult:
        """By the execution's steps, and the log of the training job."""
        from ml.platforms.sagemaker.execution import follow

        return follow(job, say, show, runtime)

    def stop_command(self, job: str) -> str:
        """What ends an execution."""
        return f"aws sagemaker stop-pipeline-execution --pipeline-execution-arn {job}"

    def has_named(self, job: str) -> bool:
        """An execution's ARN."""
        return EXECUTION.fullmatch(job) is not None

    def training_here(self, environment: Mapping[str, str]) -> Callable[[], int] | None:
        """A training job has its configuration below /opt/ml."""
        from ml.platforms.sagemaker.train_job import folders, is_job, run_job

        job = folders(environment)
        return (lambda: run_job(job, environment)) if is_job(job) else None

    def registry(self, runtime: Runtime) -> Registry | None:
        """The stack's group of model packages."""
        from ml.platforms.sagemaker.model_packages import ModelPackages

        return ModelPackages(runtime.model_registry) if runtime.model_registry else None

    def observe(self, url: str) -> Observed | None:
        """What each variant's container was told to serve."""
        from ml.platforms.sagemaker.observed import observe

        return observe(url)


PLATFORM: Final[Platform] = SageMaker()
