"""The problem definition: the one place that says what is decided, on which data, and what good enough means."""

from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ml._monitoring import Monitoring
from ml.errors import InputRefused

__all__ = [
    "Baseline",
    "Canary",
    "Categorical",
    "Condition",
    "Feature",
    "Gates",
    "Monitoring",
    "Numeric",
    "Problem",
    "Protected",
    "Retraining",
    "Review",
    "Waiver",
    "load_problem",
]

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's takes a tenth of the time, where it is there
DEFAULT_FILE = Path(__file__).with_name("problem.yaml")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Decision(_Frozen):
    """Who decides what about whom with the help of the score, and what it must not be used for."""

    what: str
    made_by: str
    about: str
    why_a_model: str
    not_for: str


class Condition(_Frozen):
    """One test of one column; every bound that is given must hold."""

    column: str
    at_least: int | None = None
    at_most: int | None = None
    is_in: tuple[int, ...] | None = None


class Baseline(_Frozen):
    """A rule without machine learning: rows that meet every condition score `then`, the others `otherwise`."""

    title: str
    when: tuple[Condition, ...]
    then: float = Field(ge=0, le=1)
    otherwise: float = Field(ge=0, le=1)


class Target(_Frozen):
    """The label, which of its codes counts as positive, and when it becomes known."""

    column: str
    positive: int
    codes: dict[int, str]
    event: str


class Numeric(_Frozen):
    """An ordered integer feature between `minimum` and `maximum`, both included."""

    kind: Literal["numeric"]
    name: str
    title: str
    minimum: int
    maximum: int
    nullable: bool = False
    sensitive: bool = False


class Categorical(_Frozen):
    """A feature that takes one of the listed integer codes."""

    kind: Literal["categorical"]
    name: str
    title: str
    codes: dict[int, str]
    nullable: bool = False
    sensitive: bool = False


Feature = Annotated[Numeric | Categorical, Field(discriminator="kind")]


class DatasetFile(_Frozen):
    """A file below the datasets' root and the SHA-256 of its bytes."""

    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class DataSheet(_Frozen):
    """What a data sheet says that no file shows: headings of Gebru et al., "Datasheets for Datasets" (2021)."""

    motivation: str
    composition: str
    collection: str
    preprocessing: str
    uses: str
    distribution: str
    maintenance: str


class Datasets(_Frozen):
    """The data files by name, with their source and licence."""

    root: str
    license: str
    source: str
    sheet: DataSheet
    files: dict[str, DatasetFile]


class Split(_Frozen):
    """Which dataset trains, tests and plays live traffic; the fraction of the training set held out for choices."""

    train: str
    validation_fraction: float = Field(gt=0, lt=0.5)
    test: str
    live: str
    seed: int


class ErrorCost(_Frozen):
    """What one error of a kind costs, in `Costs.unit`, and who bears it."""

    cost: float = Field(gt=0)
    meaning: str
    borne_by: str


class Costs(_Frozen):
    """The cost table that the decision threshold is chosen for."""

    unit: str
    false_positive: ErrorCost
    false_negative: ErrorCost


class Protected(_Frozen):
    """A protected attribute; `limits` bounds the largest difference of a rate between two of its groups."""

    column: str
    bands: tuple[int, ...] | None = None
    limits: dict[Literal["true_positive_rate", "false_positive_rate", "selection_rate", "accuracy"], float]
    why: str


class LeakageGate(_Frozen):
    maximum_single_feature_roc_auc: float = Field(gt=0.5, le=1)


class HigherIsBetter(_Frozen):
    minimum: float
    better_than_baseline_by: float = Field(ge=0)


class LowerIsBetter(_Frozen):
    maximum: float
    better_than_baseline_by: float = Field(ge=0)


class Limit(_Frozen):
    maximum: float


class QualityGate(_Frozen):
    """Thresholds of the model's quality on the test set; each comparison uses a paired bootstrap interval."""

    bootstrap_samples: int = Field(ge=100)
    confidence: float = Field(gt=0.5, lt=1)
    roc_auc: HigherIsBetter
    pr_auc: HigherIsBetter
    expected_cost: LowerIsBetter
    calibration_error: Limit


class FairnessGate(_Frozen):
    minimum_group_rows: int = Field(ge=1)


class LatencyGate(_Frozen):
    rows: int = Field(ge=1)
    quantile: float = Field(gt=0, lt=1)
    maximum_ms: float = Field(gt=0)


class ShadowGate(_Frozen):
    """A promoted release decides anew on logged requests: how many, and how large a share may be decided otherwise."""

    maximum_rows: int = Field(ge=1, le=100_000)
    maximum_changed_decisions: float = Field(ge=0, le=1)


class Gates(_Frozen):
    """Everything that blocks a release."""

    data_leakage: LeakageGate
    quality: QualityGate
    fairness: FairnessGate
    latency: LatencyGate
    shadow: ShadowGate


class SensitiveField(_Frozen):
    """What the prediction log keeps of a sensitive feature: its value, the lower bound of its band, or nothing."""

    logged: Literal["exact", "banded", "omitted"]
    why: str = Field(min_length=10)


class PredictionLogRules(_Frozen):
    """How far the prediction log minimises: a rule for each sensitive feature."""

    sensitive: dict[str, SensitiveField]

    @property
    def coarse(self) -> list[str]:
        """The features that a logged row doesn't hold as they were: with one of them it can't be scored again."""
        return sorted(name for name, rule in self.sensitive.items() if rule.logged != "exact")


class CanaryLatency(_Frozen):
    """A challenger is too slow past both: milliseconds, and times the champion's, at the same quantile."""

    quantile: float = Field(gt=0, lt=1)
    maximum_ms: float = Field(gt=0)
    maximum_ratio: float = Field(ge=1)


class Canary(_Frozen):
    """What takes a challenger out of use, judged on the newest `window` answered requests and scores of each release.

    Nothing but errors is judged before `minimum` of each; so many errors as `maximum_error_rate` lets pass in
    `minimum` are enough at any time. `maximum_score_psi` bounds the population stability index of the scores.
    """

    minimum: int = Field(ge=20)
    window: int = Field(ge=100)
    maximum_error_rate: float = Field(gt=0, lt=1)
    latency: CanaryLatency
    maximum_score_psi: float = Field(gt=0)


class Review(_Frozen):
    """Which predictions an expert looks at: scores within `margin` of the threshold, rows outside the training range,
    and `sample_fraction` of all, from the last `window_days`; at most `maximum_queue` wait at a time.

    `reviewers` names who may decide; None is everybody with an account.
    """

    margin: float = Field(gt=0, lt=0.5)
    sample_fraction: float = Field(ge=0, le=1)
    maximum_queue: int = Field(ge=1)
    window_days: int = Field(ge=1)
    reviewers: tuple[str, ...] | None = None


class Retraining(_Frozen):
    """When a challenger is trained, and what it must not be worse at than the champion.

    The newest `comparison_fraction` of the labelled live rows is held out to compare the two; without
    `minimum_comparison_rows` in it nothing is trained. `maximum_cost_increase` is per row, in `Costs.unit`.
    """

    maximum_age_days: int = Field(ge=1)
    minimum_new_labels: int = Field(ge=1)
    cooldown_days: float = Field(ge=0)
    comparison_fraction: float = Field(gt=0, lt=1)
    minimum_comparison_rows: int = Field(ge=1)
    maximum_cost_increase: float = Field(ge=0)


class Waiver(_Frozen):
    """A gate switched off on purpose: by whom, why and until when (that day included)."""

    gate: str
    reason: str = Field(min_length=10)
    approved_by: str
    expires: date


class Problem(_Frozen):
    """The whole definition, validated once."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{1,30}$")
    title: str
    decision: Decision
    baseline: Baseline
    target: Target
    identifier: str
    time: str
    population: tuple[Condition, ...]
    features: tuple[Feature, ...] = Field(min_length=1)
    datasets: Datasets
    split: Split
    costs: Costs
    protected: tuple[Protected, ...]
    gates: Gates
    prediction_log: PredictionLogRules
    canary: Canary
    review: Review
    retraining: Retraining
    monitoring: Monitoring
    waivers: tuple[Waiver, ...] = ()

    @property
    def feature_names(self) -> list[str]:
        """The features' names, in the order of the model's input columns."""
        return [feature.name for feature in self.features]

    @property
    def columns(self) -> list[str]:
        """Every column of a raw data file, in order."""
        return [self.identifier, self.time, *self.feature_names, self.target.column]

    @property
    def cost_threshold(self) -> float:
        """The score above which 'positive' has the lower expected cost, for calibrated scores (Elkan, 2001)."""
        fp, fn = self.costs.false_positive.cost, self.costs.false_negative.cost
        return fp / (fp + fn)

    @model_validator(mode="after")
    def _refers_to_what_exists(self) -> Self:
        known, names = set(self.columns), self.feature_names
        if len(known) != len(self.columns):
            raise ValueError(
                f"columns are named twice: {sorted({c for c in self.columns if self.columns.count(c) > 1})}"
            )
        for where, conditions in (("baseline.when", self.baseline.when), ("population", self.population)):
            for condition in conditions:
                if condition.column not in known:
                    raise ValueError(f"{where} names the column {condition.column!r}, which no feature defines")
        for attribute in self.protected:
            if attribute.column not in names:
                raise ValueError(f"protected names the column {attribute.column!r}, which no feature defines")
        self._says_what_is_logged()
        if self.target.positive not in self.target.codes:
            raise ValueError(
                f"target.positive is {self.target.positive}, "
                f"which is not one of target.codes {sorted(self.target.codes)}"
            )
        for role in ("train", "test", "live"):
            if getattr(self.split, role) not in self.datasets.files:
                raise ValueError(f"split.{role} is {getattr(self.split, role)!r}, which datasets.files doesn't define")
        return self

    def _says_what_is_logged(self) -> None:
        rules, sensitive = self.prediction_log.sensitive, {f.name for f in self.features if f.sensitive}
        if different := sorted(rules.keys() ^ sensitive):
            raise ValueError(
                f"prediction_log.sensitive must have a rule for each feature marked sensitive, and for no other: "
                f"see {', '.join(different)}"
            )
        bands = {attribute.column for attribute in self.protected if attribute.bands}
        if bandless := sorted(name for name, rule in rules.items() if rule.logged == "banded" and name not in bands):
            raise ValueError(f"prediction_log.sensitive bands {', '.join(bandless)}, but protected gives it no bands")


def read_problem(file: Path) -> Problem:
    """Read and validate a problem definition; InputRefused names the file and every entry that is wrong."""
    try:
        return Problem.model_validate(yaml.load(file.read_text(encoding="utf-8"), Loader=LOADER))  # noqa: S506 # safe, either
    except OSError as error:
        raise InputRefused(f"The problem definition {file} can't be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise InputRefused(f"The problem definition {file} is not YAML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'as a whole'}: {e['msg']}" for e in error.errors())
        raise InputRefused(f"The problem definition {file} is not valid. {wrong}.") from error


@cache
def load_problem() -> Problem:
    """The problem this project is about."""
    return read_problem(DEFAULT_FILE)
