"""What a training on a platform brings back."""

from dataclasses import dataclass

from pydantic import BaseModel

from ml.bundle.evaluation import Evaluation
from ml.bundle.manifest import Gate

__all__ = ["ANOTHER_VERSION", "JobReport", "JobResult"]

ANOTHER_VERSION = "Was what it runs built from another version of this project?"


@dataclass(frozen=True)
class JobResult:
    """A trained candidate: `model_uri` is where its model lies, `run_id` the MLflow run that is released."""

    job: str
    model_uri: str
    run_id: str | None
    evaluation: Evaluation
    gates: tuple[Gate, ...]


class JobReport(BaseModel):
    """What a job leaves of its training, each platform's in a place of its own."""

    run_id: str | None
    evaluation: Evaluation
    gates: tuple[Gate, ...]

    def candidate(self, job: str, model_uri: str) -> JobResult:
        """The candidate of this job."""
        return JobResult(job, model_uri, self.run_id, self.evaluation, self.gates)
