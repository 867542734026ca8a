"""Follow an execution of the training pipeline: its states, its job's log, and in the end what it left."""

import time
from collections.abc import Callable
from typing import Any, Final

from ml.aws.client import aws_errors, client, passes_by_itself, region_of
from ml.aws.logs import JobLog
from ml.errors import InputRefused, MlopsError
from ml.runtime import Runtime
from ml.training.candidate import Candidate
from ml.training.sagemaker.candidate import candidate_of

__all__ = ["follow", "stop_command"]

LOG_GROUP: Final = "/aws/sagemaker/TrainingJobs"  # SageMaker's, for every training job of the region
POLL_S: Final = 5.0
UNDER_WAY: Final = frozenset({"Executing", "Stopping"})
JOB_UNDER_WAY: Final = ("InProgress", "Stopping")
LONGEST_SILENCE: Final = 60  # how many times in a row AWS may not answer
QUIET_READS: Final = 3  # after the end; CloudWatch shows the last lines some seconds late
Say = Callable[[str], None]


def follow(
    execution: str, progress: Say, show: Say, _runtime: Runtime | None = None, *, poll_s: float = POLL_S
) -> Candidate:
    """Say what happens (`progress`) and what the job prints (`show`) until the execution, an ARN, has ended.

    MlopsError when it ended otherwise than well. Nothing is stopped when this ends before it.
    """
    parts = execution.split(":")
    if len(parts) != 6 or parts[2] != "sagemaker" or "/execution/" not in parts[5]:
        raise InputRefused(f"{execution!r} is not the ARN of a pipeline's execution, as `mlops train` prints it.")
    watched = _Watched(execution, progress, show)
    while watched.look() in UNDER_WAY:
        time.sleep(poll_s)  # SageMaker tells nobody; it is asked
    quiet = 0
    while quiet < QUIET_READS:
        time.sleep(poll_s)
        quiet = quiet + 1 if watched.look_again() else 0
    return watched.result()


def stop_command(execution: str) -> str:
    """What ends the execution."""
    return f"aws sagemaker stop-pipeline-execution --pipeline-execution-arn {execution}"


class _Watched:
    """An execution, and the training job of its step: a step that is tried again has a new job."""

    def __init__(self, execution: str, progress: Say, show: Say) -> None:
        region = region_of(execution)
        self._execution, self._progress, self._show = execution, progress, show
        self._sagemaker, self._logs = client("sagemaker", region), client("logs", region)
        self._state: dict[str, Any] = {}
        self._job: dict[str, Any] = {}
        self._log: JobLog | None = None
        self._said: set[str] = set()
        self._unanswered = 0

    def look(self) -> str:
        """The execution's state, after what is new has been said."""
        state = self._asked(self._sagemaker.describe_pipeline_execution, PipelineExecutionArn=self._execution)
        if state is None:
            return "Executing"
        self._say_once(f"The pipeline is {state['PipelineExecutionStatus']}")
        self._look_at_the_job()
        self._read_log()
        self._state = state
        return state["PipelineExecutionStatus"]

    def look_again(self) -> bool:
        """Whether nothing more has come since the end."""
        if self._job.get("TrainingJobStatus") in (None, *JOB_UNDER_WAY):
            self._look_at_the_job()  # AWS didn't answer the last time
        return self._read_log() == 0

    def _look_at_the_job(self) -> None:
        answer = self._asked(self._sagemaker.list_pipeline_execution_steps, PipelineExecutionArn=self._execution)
        for step in (answer or {}).get("PipelineExecutionSteps", []):
            arn = step.get("Metadata", {}).get("TrainingJob", {}).get("Arn")
            if arn is None:
                continue
            name = arn.rpartition("/")[2]
            if name != self._job.get("TrainingJobName"):
                self._read_log()  # to the end of the one that is tried again
                self._log = JobLog(self._logs, LOG_GROUP, f"{name}/")
                self._say_once(f"The training job is {name}")
            job = self._asked(self._sagemaker.describe_training_job, TrainingJobName=name)
            self._job = job or self._job or {"TrainingJobName": name}
            for number, change in enumerate(self._job.get("SecondaryStatusTransitions", [])):
                message = change.get("StatusMessage", "")
                self._say_once(f"{change['Status']}: {message}" if message else change["Status"], f"{name}/{number}")

    def _read_log(self) -> int | None:
        """Show the lines that have come; how many, None when AWS doesn't answer now."""
        if self._log is None:
            return 0
        shown = 0
        try:
            for line in self._log.new_lines():
                self._show(line)
                shown += 1
        except aws_errors() as error:
            if passes_by_itself(error):
                self._bear(error)
                return None
            self._say_once(f"The job's log can't be read, which changes nothing for the job: {error}")
            self._log = None
        return shown

    def result(self) -> Candidate:
        """What a good end left; MlopsError for another, with its reason and the last lines."""
        status = self._state["PipelineExecutionStatus"]
        if status == "Succeeded":
            if "OutputDataConfig" not in self._job:
                raise MlopsError(f"{self._execution} has succeeded without a training job: there is no candidate.")
            return candidate_of(self._job)
        why = self._job.get("FailureReason") or self._state.get("FailureReason") or "its steps in SageMaker say why"
        said = f"The training {self._execution} ended as {status}: {why.rstrip('.')}."
        if self._log and self._log.last:
            lines = "".join(f"\n  {line}" for line in self._log.last)
            name = self._job["TrainingJobName"]
            said += f" Its last lines, of {LOG_GROUP}/{name}:{lines}"
        raise MlopsError(said)

    def _say_once(self, line: str, of: str = "") -> None:
        if f"{of} {line}" not in self._said:
            self._said.add(f"{of} {line}")
            self._progress(line)

    def _asked(self, operation: Callable[..., dict[str, Any]], **what: str) -> dict[str, Any] | None:
        """The answer, or None for now."""
        try:
            answer = operation(**what)
        except aws_errors() as error:
            self._bear(error)
            return None
        self._unanswered = 0
        return answer

    def _bear(self, error: Exception) -> None:
        """Go on when the next question may be answered; otherwise say that the training goes on without us."""
        self._unanswered += 1
        if passes_by_itself(error) and self._unanswered < LONGEST_SILENCE:
            self._progress(f"AWS does not answer now, and is asked again: {error}")
            return
        raise MlopsError(
            f"{error} The training itself goes on: follow it with `mlops train --follow {self._execution}`."
        ) from error
