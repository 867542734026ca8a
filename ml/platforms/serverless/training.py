"""Training as a job of AWS Batch: started on data that are in the store, followed to its end, its candidate read."""

from pathlib import Path

from pydantic import ValidationError

from ml.bundle.job_result import ANOTHER_VERSION, JobReport, JobResult
from ml.data.read import ingest
from ml.errors import MlopsError
from ml.following import Say
from ml.platforms.serverless import jobs
from ml.problem import Problem
from ml.runtime import Runtime
from ml.store import Store
from ml.training.reason import PERSON, REASON

__all__ = ["follow", "job_name", "report_key", "start"]


def report_key(job: str) -> str:
    """Where the job of this id leaves its report."""
    return f"training/{job}/training.json"


def job_name(stack: str) -> str:
    """What trainings of a stack are called that were not started by its schedule."""
    return f"{stack}-training"


def start(problem: Problem, runtime: Runtime, root: Path, progress: Say) -> str:
    """The ARN of the job that was submitted; DataRefused, and nothing is submitted, for other data."""
    for name in (problem.split.train, problem.split.test):
        progress(f"The dataset {name} is {ingest(problem, name, Store(runtime.store_uri), root).uri}")
    arn = jobs.submit(
        str(runtime.job_queue),
        str(runtime.training_job),
        job_name(runtime.stack),
        variables={REASON: PERSON},
        tags={"stack": runtime.stack},
    )
    progress(f"Submitted {arn}")
    return arn


def follow(arn: str, progress: Say, show: Say, runtime: Runtime) -> JobResult:
    """Say what happens until the job has ended: its candidate; MlopsError when it failed, or left none."""
    jobs.follow(arn, progress, show)
    store, job = Store(runtime.store_uri), arn.rpartition("/")[2]
    try:
        report = JobReport.model_validate_json(store.read(report_key(job)))
    except (OSError, ValidationError) as error:
        raise MlopsError(
            f"The job {job} has ended well, but {store.url(report_key(job))} holds no report of its candidate: {error} "
            f"{ANOTHER_VERSION}"
        ) from error
    return report.candidate(job, f"runs:/{report.run_id}")
