"""Scoring on AWS Batch: where the job that `mlops score` submitted writes."""

from ml.errors import InputRefused
from ml.platforms.serverless import jobs

__all__ = ["output_of"]


def output_of(job: str) -> str:
    """Where a job writes; InputRefused for one that doesn't score."""
    command = jobs.command_of(job)
    if command[:1] != ["score"] or len(command) < 3:
        raise InputRefused(f"The job {job} is no scoring: it runs {' '.join(command) or 'nothing'}.")
    return command[2]
