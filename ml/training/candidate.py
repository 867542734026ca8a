"""What a training on a platform brings back."""

from dataclasses import dataclass

from ml.release.manifest import Gate
from ml.training.evaluation import Evaluation

__all__ = ["Candidate"]


@dataclass(frozen=True)
class Candidate:
    """A trained candidate: `model_uri` is where its model lies, `run_id` the MLflow run that is released."""

    job: str
    model_uri: str
    run_id: str | None
    evaluation: Evaluation
    gates: tuple[Gate, ...]
