"""Train on Databricks: bring the data into the store, run the stack's job, and come back with its candidate.

Who asks is said by the environment, as every client of Databricks is told it (DATABRICKS_CLIENT_ID and the like).
"""

import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from ml.errors import InputRefused, MlopsError
from ml.following import News, Say, failed, wait_for
from ml.problem import Problem
from ml.runtime import Runtime
from ml.store import Store
from ml.training.candidate import ANOTHER_VERSION, Candidate, Report
from ml.training.datasets import upload
from ml.training.evaluation import CANDIDATE_FOLDER

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.jobs import Run

__all__ = ["RESULT", "RUN", "follow", "start", "stop_command"]

JOB: Final = re.compile(r"(?P<host>https?://[^/]+)/jobs/(?P<job>\d+)")
RUN: Final = re.compile(rf"{JOB.pattern}/runs/(?P<run>\d+)")
POLL_S: Final = 5.0
ENDED: Final = "TERMINATED"
LAST_LINES: Final = 20
RESULT: Final = "mlops-result: "  # how the line of a task's log begins that holds its result


def start(problem: Problem, runtime: Runtime, root: Path, progress: Say) -> str:
    """The page of the run that was started; DataRefused, and nothing is started, for other data."""
    job = JOB.fullmatch(runtime.training_job or "")
    if job is None:
        raise InputRefused(f"{runtime.training_job!r} is not the page of a job of Databricks.")
    client = _client(job["host"])
    upload(problem, Store(runtime.store_uri), root, progress)
    run = _asked(
        lambda: client.jobs.run_now(
            int(job["job"]), job_parameters={"reason": "person"}, idempotency_token=uuid.uuid4().hex
        )
    )
    execution = f"{job['host']}/jobs/{job['job']}/runs/{run.response.run_id}"
    progress(f"Started {execution}")
    return execution


def follow(
    execution: str, progress: Say, show: Say, runtime: Runtime | None = None, *, poll_s: float = POLL_S
) -> Candidate:
    """Say what happens (`progress`) until the run has ended, then what it printed (`show`).

    MlopsError when it ended otherwise than well. Nothing is stopped when this ends before it.
    """
    named = RUN.fullmatch(execution)
    if named is None:
        raise InputRefused(f"{execution!r} is not the page of a run of Databricks, as `mlops train` prints it.")
    stack = f" --stack {runtime.stack}" if runtime else ""
    goes_on = f" The training itself goes on: `mlops train{stack} --follow {execution}`."
    client, news = _client(named["host"]), News(progress)

    def look() -> "Run":
        run = _asked(lambda: client.jobs.get_run(int(named["run"])), goes_on)
        news.say("run", f"The run is {_state(run)}")
        return run

    run = wait_for(look, lambda run: _state(run) == ENDED, poll_s)
    return _ended(client, execution, run, show)


def stop_command(execution: str) -> str:
    """What a person types to end it."""
    return f"databricks jobs cancel-run {execution.rpartition('/')[2]}"


def _state(run: "Run") -> str:
    return run.status.state.value if run.status and run.status.state else "PENDING"


def _ended(client: "WorkspaceClient", execution: str, run: "Run", show: Say) -> Candidate:
    task = max(run.tasks or [], key=lambda each: each.attempt_number or 0, default=None)
    number = task.run_id if task else None
    output = _asked(lambda: client.jobs.get_run_output(number)) if number is not None else None
    lines = (output.logs or "").splitlines() if output else []
    printed = [line for line in lines if not line.startswith(RESULT)]
    for line in printed:
        show(line)
    details = run.status.termination_details if run.status else None
    code = details.code.value if details and details.code else "unknown"
    if code != "SUCCESS":
        why = (output.error if output else None) or (details.message if details else None) or "its page says why"
        raise failed(f"The training {execution} ended as {code}", why, printed[-LAST_LINES:])
    results = [line.removeprefix(RESULT) for line in lines if line.startswith(RESULT)]
    try:
        report = Report.model_validate_json(results[-1] if results else "")
    except ValidationError as error:
        raise MlopsError(
            f"The training {execution} has ended well and printed no result that can be read. {ANOTHER_VERSION}"
        ) from error
    return report.candidate(execution, f"runs:/{report.run_id}/{CANDIDATE_FOLDER}")


def _client(host: str) -> "WorkspaceClient":
    try:
        from databricks.sdk import WorkspaceClient
    except ImportError as error:
        raise MlopsError(
            "Training on Databricks needs databricks-sdk: install this project with its extra `databricks`."
        ) from error
    try:
        return WorkspaceClient(host=host)
    except ValueError as error:
        raise MlopsError(f"{host} can't be asked, for nothing here says who asks: {error}") from error


def _asked(operation: Callable[[], Any], goes_on: str = "") -> Any:
    """The answer; the client itself asks again where Databricks is busy."""
    from databricks.sdk.errors.base import DatabricksError

    try:
        return operation()
    except (DatabricksError, TimeoutError) as error:
        raise MlopsError(f"Databricks refuses: {error}{goes_on}") from error
