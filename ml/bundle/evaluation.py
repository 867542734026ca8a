"""What training hands to release: the evaluation of the chosen candidate, and the folder that holds it."""

from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ml.bundle.manifest import DIGEST_PATTERN, GroupRates, MetricResult

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
    "MetricsOfRows",
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


class MetricsOfRows(BaseModel):
    """Metrics that were measured on the same rows, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: tuple[MetricResult, ...]

    def metric(self, name: str) -> MetricResult | None:
        """The metric of that name, None when it was not measured."""
        return next((metric for metric in self.metrics if metric.name == name), None)


class ChampionComparison(MetricsOfRows):
    """The candidate beside the release that serves, on the newest labelled live rows, which it was not trained on.

    In `metrics` the value is the candidate's and the baseline the champion's. The rows were predicted from `since` on,
    up to `until`; `positives` of them are positive. `labels_trusted` is why labels that contradict the champion are
    among them, as a person said it.
    """

    release: str = Field(pattern=DIGEST_PATTERN)
    rows: int
    positives: int | None = None
    since: AwareDatetime
    until: AwareDatetime
    labels_trusted: str | None = None


class Evaluation(MetricsOfRows):
    """How good the chosen candidate is on the test set, and everything it was made from.

    `decision_threshold` is the score from which a person is held to be positive. Metrics and rates are fractions;
    the expected cost is in `Costs.unit` per person. `data` maps a dataset's name to the SHA-256 of its file.
    `single_feature_roc_auc` is how well each feature alone orders the training rows: near 1 it leaks the target.
    `champion` is there when the candidate was trained to take over from a release. `measured_under` has a digest of
    each part of the problem definition that the figures depend on. What is None was not counted yet when the
    evaluation was made, and is no evidence.
    """

    candidate: str
    parameters: dict[str, str | int | float | bool | None]
    decision_threshold: float
    train_rows: int | None = None
    train_positives: int | None = None
    test_rows: int
    test_positives: int | None = None
    fairness: tuple[GroupRates, ...]
    single_feature_roc_auc: dict[str, float]
    data: dict[str, str]
    code_commit: str
    code_modified: bool
    problem_digest: str = Field(pattern=DIGEST_PATTERN)
    measured_under: dict[str, str] | None = None
    environment: dict[str, str]
    champion: ChampionComparison | None = None
