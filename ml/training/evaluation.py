"""What training hands to release: the evaluation of the chosen candidate, and the folder that holds it."""

from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ml.release.manifest import DIGEST_PATTERN, GroupRates, MetricResult

__all__ = [
    "CANDIDATE_FOLDER",
    "CHOSEN_TAG",
    "EVALUATION_FILE",
    "MODEL_FOLDER",
    "REFERENCE_FILE",
    "SCORE_COLUMN",
    "TEST_FILE",
    "ChampionComparison",
    "Evaluation",
]

# The artifacts of the chosen candidate's MLflow run:
#   candidate/model/             an MLflow model: pandas columns `Problem.feature_names` in, probabilities (rows, 2) out
#   candidate/evaluation.json    an Evaluation
#   candidate/reference.parquet  a seeded sample of training rows: the features, the target and SCORE_COLUMN
#   candidate/test.parquet       the features of every test row, for whoever must show to score as the model does
CANDIDATE_FOLDER: Final = "candidate"
MODEL_FOLDER: Final = "model"
EVALUATION_FILE: Final = "evaluation.json"
REFERENCE_FILE: Final = "reference.parquet"
TEST_FILE: Final = "test.parquet"
SCORE_COLUMN: Final = "score"

# Set on a candidate's run, to "true", as the very last step: a run that carries it is complete.
CHOSEN_TAG: Final = "mlops.chosen"


class ChampionComparison(BaseModel):
    """The candidate beside the release that serves, on the newest labelled live rows, which it was not trained on.

    In `metrics` the value is the candidate's and the baseline the champion's. The rows were predicted from `since` on,
    up to `until`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: str = Field(pattern=DIGEST_PATTERN)
    rows: int
    since: AwareDatetime
    until: AwareDatetime
    metrics: tuple[MetricResult, ...]

    def metric(self, name: str) -> MetricResult:
        """The metric of that name; KeyError when it was not measured."""
        return _named(self.metrics, name)


class Evaluation(BaseModel):
    """How good the chosen candidate is on the test set, and everything it was made from.

    `decision_threshold` is the score from which a person is held to be positive. Metrics and rates are fractions;
    the expected cost is in `Costs.unit` per person. `data` maps a dataset's name to the SHA-256 of its file.
    `single_feature_roc_auc` is how well each feature alone orders the training rows: near 1 it leaks the target.
    `champion` is there when the candidate was trained to take over from a release.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidate: str
    parameters: dict[str, str | int | float | bool | None]
    decision_threshold: float
    test_rows: int
    metrics: tuple[MetricResult, ...]
    fairness: tuple[GroupRates, ...]
    single_feature_roc_auc: dict[str, float]
    data: dict[str, str]
    code_commit: str
    code_modified: bool
    problem_digest: str = Field(pattern=DIGEST_PATTERN)
    environment: dict[str, str]
    champion: ChampionComparison | None = None

    def metric(self, name: str) -> MetricResult:
        """The metric of that name; KeyError when it was not measured."""
        return _named(self.metrics, name)


def _named(metrics: tuple[MetricResult, ...], name: str) -> MetricResult:
    for metric in metrics:
        if metric.name == name:
            return metric
    raise KeyError(name)
