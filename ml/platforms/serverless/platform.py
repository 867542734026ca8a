"""Lambda and Batch, as the commands use them."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ml.bundle.job_result import JobResult
from ml.following import Say
from ml.platform import Asked, Platform
from ml.platforms.aws.platform import AwsPlatform
from ml.platforms.serverless import jobs
from ml.problem import Problem
from ml.runtime import Runtime

__all__ = ["PLATFORM"]


class Serverless(AwsPlatform):
    """Jobs of Batch train and score, a function answers, and another one watches."""

    def train(self, problem: Problem, runtime: Runtime, root: Path, say: Say) -> str:
        """A job, by its ARN."""
        from ml.platforms.serverless.training import start

        return start(problem, runtime, root, say)

    def follow_training(self, job: str, say: Say, show: Say, runtime: Runtime) -> JobResult:
        """By the job's states and its log."""
        from ml.platforms.serverless.training import follow

        return follow(job, say, show, runtime)

    def score(self, runtime: Runtime, asked: Asked) -> str:
        """An array job, one child a share."""
        return jobs.submit(
            str(runtime.job_queue),
            str(runtime.scoring_job),
            f"{runtime.stack}-scoring",
            command=asked.words,
            size=asked.shares,
            tags={"stack": runtime.stack},
        )

    def output_of(self, job: str) -> str:
        """As the job was told to."""
        from ml.platforms.serverless.scoring import output_of

        return output_of(job)

    def follow_scoring(self, job: str, say: Say, show: Say) -> None:
        """By the job's states and its log."""
        jobs.follow(job, say, show)

    def stop_command(self, job: str) -> str:
        """What ends a job of Batch."""
        return jobs.stop_command(job)

    def has_named(self, job: str) -> bool:
        """A job's ARN."""
        return jobs.is_job(job)

    def training_here(self, environment: Mapping[str, str]) -> Callable[[], int] | None:
        """Batch says which of its jobs a container is."""
        if jobs.JOB_ID not in environment:
            return None
        from ml.platforms.serverless.train_job import run_job

        return run_job

    def share_here(self, environment: Mapping[str, str]) -> tuple[int, int] | None:
        """A child of an array knows its number and the array's size."""
        return jobs.share_of(environment)

    def commands(self) -> Mapping[str, Callable[[], None]]:
        """What a function of AWS Lambda is started with."""
        return {"lambda": _answer_events}


def _answer_events() -> None:
    """Answer the events of an AWS Lambda function: `watch` is the monitor, without it a release is served.

    The release is loaded before the first event.
    """
    from awslambdaric.__main__ import main as runtime

    if sys.argv[1:] == ["watch"]:
        from ml.platforms.serverless.watch import handler
    else:
        from ml.platforms.serverless.function import function, handler

        function()
    runtime([sys.argv[0], f"{handler.__module__}.{handler.__name__}"])


PLATFORM: Final[Platform] = Serverless()
