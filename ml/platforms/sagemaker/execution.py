"""Follow an execution of the training pipeline: its states, its job's log, and in the end what it left."""

from typing import Any, Final

from ml.bundle.job_result import JobResult
from ml.errors import MlopsError
from ml.following import Say, failed, wait_for
from ml.platforms.aws.client import client, region_of
from ml.platforms.aws.logs import JobLog
from ml.platforms.aws.patience import Patience
from ml.platforms.sagemaker.candidate import candidate_of
from ml.runtime import Runtime

__all__ = ["follow"]

LOG_GROUP: Final = "/aws/sagemaker/TrainingJobs"  # SageMaker's, for every training job of the region
POLL_S: Final = 5.0
UNDER_WAY: Final = frozenset({"Executing", "Stopping"})
JOB_UNDER_WAY: Final = ("InProgress", "Stopping")
QUIET_READS: Final = 3  # after the end; CloudWatch shows the last lines some seconds late


def follow(
    execution: str, progress: Say, show: Say, runtime: Runtime | None = None, *, poll_s: float = POLL_S
) -> JobResult:
    """Say what happens (`progress`) and what the job prints (`show`) until the execution, an ARN, has ended.

    MlopsError when it ended otherwise than well. Nothing is stopped when this ends before it.
    """
    stack = f" --stack {runtime.stack}" if runtime else ""
    goes_on = f"The training itself goes on: follow it with `mlops train{stack} --follow {execution}`."
    watched = _Watched(execution, Patience(progress, show, goes_on))
    wait_for(watched.look, lambda state: state not in UNDER_WAY, poll_s)
    wait_for(watched.look_again, lambda quiet: quiet > QUIET_READS, poll_s)
    return watched.result()


class _Watched:
    """An execution, and the training job of its step: a step that is tried again has a new job."""

    def __init__(self, execution: str, aws: Patience) -> None:
        region = region_of(execution)
        self._execution, self._aws = execution, aws
        self._sagemaker, self._logs = client("sagemaker", region), client("logs", region)
        self._state: dict[str, Any] = {}
        self._job: dict[str, Any] = {}
        self._log: JobLog | None = None
        self._quiet = 0

    def look(self) -> str:
        """The execution's state, after what is new has been said."""
        state = self._aws.ask(self._sagemaker.describe_pipeline_execution, PipelineExecutionArn=self._execution)
        if state is None:
            return "Executing"
        self._aws.news.say("pipeline", f"The pipeline is {state['PipelineExecutionStatus']}")
        self._look_at_the_job()
        self._aws.read(self._log)
        self._state = state
        return state["PipelineExecutionStatus"]

    def look_again(self) -> int:
        """How many times in a row nothing more has come since the end."""
        if self._job.get("TrainingJobStatus") in (None, *JOB_UNDER_WAY):
            self._look_at_the_job()  # AWS didn't answer the last time
        self._quiet = self._quiet + 1 if self._aws.read(self._log) == 0 else 0
        return self._quiet

    def _look_at_the_job(self) -> None:
        answer = self._aws.ask(self._sagemaker.list_pipeline_execution_steps, PipelineExecutionArn=self._execution)
        for step in (answer or {}).get("PipelineExecutionSteps", []):
            arn = step.get("Metadata", {}).get("TrainingJob", {}).get("Arn")
            if arn is None:
                continue
            name = arn.rpartition("/")[2]
            if name != self._job.get("TrainingJobName"):
                self._aws.read(self._log)  # to the end of the one that is tried again
                self._log = JobLog(self._logs, LOG_GROUP, f"{name}/")
                self._aws.news.say("job", f"The training job is {name}")
            job = self._aws.ask(self._sagemaker.describe_training_job, TrainingJobName=name)
            self._job = job or self._job or {"TrainingJobName": name}
            for number, change in enumerate(self._job.get("SecondaryStatusTransitions", [])):
                message = change.get("StatusMessage", "")
                line = f"{change['Status']}: {message}" if message else change["Status"]
                self._aws.news.say(f"{name}/{number}", line)

    def result(self) -> JobResult:
        """What a good end left; MlopsError for another, with its reason and the last lines."""
        status = self._state["PipelineExecutionStatus"]
        if status == "Succeeded":
            if "OutputDataConfig" not in self._job:
                raise MlopsError(f"{self._execution} has succeeded without a training job: there is no candidate.")
            return candidate_of(self._job)
        why = self._job.get("FailureReason") or self._state.get("FailureReason") or "its steps in SageMaker say why"
        lines = self._log.last if self._log else ()
        whose = f"{LOG_GROUP}/{self._job.get('TrainingJobName')}"
        raise failed(f"The training {self._execution} ended as {status}", why, lines, whose)
