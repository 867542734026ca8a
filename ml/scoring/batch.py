"""Scoring on AWS Batch: an array job, one child a share."""

from ml.aws import batch
from ml.aws.batch import stop_command
from ml.errors import InputRefused
from ml.following import Say
from ml.runtime import Runtime
from ml.scoring.managed import Asked

__all__ = ["output_of", "stop_command", "submit", "watch"]


def submit(runtime: Runtime, asked: Asked) -> str:
    """The ARN of the job that was submitted."""
    return batch.submit(
        str(runtime.job_queue),
        str(runtime.scoring_job),
        f"{runtime.stack}-scoring",
        command=asked.words,
        size=asked.shares,
        tags={"stack": runtime.stack},
    )


def output_of(job: str) -> str:
    """Where a job writes that `submit` has submitted."""
    command = batch.command_of(job)
    if command[:1] != ["score"] or len(command) < 3:
        raise InputRefused(f"The job {job} is no scoring: it runs {' '.join(command) or 'nothing'}.")
    return command[2]


def watch(job: str, progress: Say, show: Say) -> None:
    """Say what happens until it has ended."""
    batch.follow(job, progress, show)
