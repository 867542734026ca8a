"""Train on Databricks: bring the data into the store, run the stack's job, and come back with its candidate."""

from pathlib import Path

from pydantic import ValidationError

from ml.bundle.evaluation import CANDIDATE_FOLDER
from ml.bundle.job_result import ANOTHER_VERSION, JobReport, JobResult
from ml.errors import MlopsError
from ml.following import Say
from ml.platforms.databricks import runs
from ml.platforms.databricks.runs import POLL_S, RESULT, RUN, require_job
from ml.problem import Problem
from ml.runtime import Runtime
from ml.store import Store
from ml.training.datasets import upload

__all__ = ["RESULT", "RUN", "follow", "start"]


def start(problem: Problem, runtime: Runtime, root: Path, progress: Say) -> str:
    """The page of the run that was started; DataRefused, and nothing is started, for other data."""
    job = runtime.training_job or ""
    require_job(job)
    upload(problem, Store(runtime.store_uri), root, progress)
    return runs.start(job, {"reason": "person"}, progress)


def follow(
    execution: str, progress: Say, show: Say, runtime: Runtime | None = None, *, poll_s: float = POLL_S
) -> JobResult:
    """Say what happens (`progress`) until the run has ended, then what it printed (`show`).

    MlopsError when it ended otherwise than well. Nothing is stopped when this ends before it.
    """
    stack = f" --stack {runtime.stack}" if runtime else ""
    goes_on = f" The training itself goes on: `mlops train{stack} --follow {execution}`."
    result = runs.follow(execution, "The training", goes_on, progress, show, poll_s)
    try:
        report = JobReport.model_validate_json(result)
    except ValidationError as error:
        raise MlopsError(
            f"The training {execution} has ended well and printed no result that can be read. {ANOTHER_VERSION}"
        ) from error
    return report.candidate(execution, f"runs:/{report.run_id}/{CANDIDATE_FOLDER}")
