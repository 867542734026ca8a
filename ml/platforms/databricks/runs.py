"""Jobs of Databricks, by their pages: start one, follow its run, and read what it printed.

Who asks is said by the environment, as every client of Databricks is told it (DATABRICKS_CLIENT_ID and the like).
"""

import re
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ml.errors import InputRefused, MlopsError
from ml.following import News, Say, failed, wait_for

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.jobs import Run

__all__ = ["POLL_S", "RESULT", "RUN", "follow", "parameters_of", "require_job", "start", "stop_command"]

JOB: Final = re.compile(r"(?P<host>https?://[^/]+)/jobs/(?P<job>\d+)")
RUN: Final = re.compile(rf"{JOB.pattern}/runs/(?P<run>\d+)")
POLL_S: Final = 5.0
ENDED: Final = "TERMINATED"
LAST_LINES: Final = 20
RESULT: Final = "mlops-result: "  # how the line of a task's log begins that holds its result


def start(job: str, parameters: Mapping[str, str], progress: Say) -> str:
    """The page of the run that was started of the job on the page `job`."""
    named = _job(job)
    client = _client(named["host"])
    run = _asked(
        lambda: client.jobs.run_now(
            int(named["job"]), job_parameters=dict(parameters), idempotency_token=uuid.uuid4().hex
        )
    )
    execution = f"{named['host']}/jobs/{named['job']}/runs/{run.response.run_id}"
    progress(f"Started {execution}")
    return execution


def require_job(job: str) -> None:
    """InputRefused for what is not the page of a job."""
    _job(job)


def parameters_of(execution: str) -> dict[str, str]:
    """What a run was started with."""
    client, number = _run(execution)
    run: Run = _asked(lambda: client.jobs.get_run(number))
    return {str(each.name): str(each.value or each.default or "") for each in run.job_parameters or []}


def follow(execution: str, what: str, goes_on: str, progress: Say, show: Say, poll_s: float = POLL_S) -> str:
    """Say what happens (`progress`) until the run has ended, then what it printed (`show`): the result it printed.

    The result is empty where it printed none. MlopsError when it ended otherwise than well, about `what` it was;
    `goes_on` says how to go on following. Nothing is stopped when this ends before it.
    """
    client, number = _run(execution)
    news = News(progress)

    def look() -> "Run":
        run = _asked(lambda: client.jobs.get_run(number), goes_on)
        news.say("run", f"The run is {_state(run)}")
        return run

    run = wait_for(look, lambda run: _state(run) == ENDED, poll_s)
    return _ended(client, f"{what} {execution}", run, show)


def stop_command(execution: str) -> str:
    """What a person types to end it."""
    return f"databricks jobs cancel-run {execution.rpartition('/')[2]}"


def _ended(client: "WorkspaceClient", named: str, run: "Run", show: Say) -> str:
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
        raise failed(f"{named} ended as {code}", why, printed[-LAST_LINES:])
    results = [line.removeprefix(RESULT) for line in lines if line.startswith(RESULT)]
    return results[-1] if results else ""


def _job(page: str) -> re.Match[str]:
    if found := JOB.fullmatch(page):
        return found
    raise InputRefused(f"{page!r} is not the page of a job of Databricks.")


def _run(page: str) -> "tuple[WorkspaceClient, int]":
    if found := RUN.fullmatch(page):
        return _client(found["host"]), int(found["run"])
    raise InputRefused(f"{page!r} is not the page of a run of Databricks, as the command that started it prints it.")


def _state(run: "Run") -> str:
    return run.status.state.value if run.status and run.status.state else "PENDING"


def _client(host: str) -> "WorkspaceClient":
    try:
        from databricks.sdk import WorkspaceClient
    except ImportError as error:
        raise MlopsError(
            "Jobs of Databricks need databricks-sdk: install this project with its extra `databricks`."
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
