"""What a training on a platform brings back."""

from dataclasses import dataclass

from pydantic import BaseModel

from ml.bundle.manifest import Gate
from ml.training.evaluation import Evaluation

__all__ = ["ANOTHER_VERSION", "Candidate", "Report"]

ANOTHER_VERSION = "Was what it runs built from another version of this project?"


@dataclass(frozen=True)
class Candidate:
    """A trained candidate: `model_uri` is where its model lies, `run_id` the MLflow run that is released."""

    job: str
    model_uri: str
    run_id: str | None
    evaluation: Evaluation
    gates: tuple[Gate, ...]


class Report(BaseModel):
    """What a job leaves of its training, each platform's in a place of its own."""

    run_id: str | None
    evaluation: Evaluation
    gates: tuple[Gate, ...]

    def candidate(self, job: str, model_uri: str) -> Candidate:
        """The candidate of this job."""
        return Candidate(job, model_uri, self.run_id, self.evaluation, self.gates)
