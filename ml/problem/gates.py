"""What blocks a release, and who has switched a gate off until when."""

from datetime import date
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from ml.problem.frozen import Frozen

__all__ = ["FairnessGate", "Gates", "LatencyGate", "MinimumEvidence", "ShadowGate", "Waiver"]

Said = Annotated[str, StringConstraints(strip_whitespace=True)]


class MinimumEvidence(Frozen):
    """How many rows of each class a set must have before a figure of it is judged; fewer refuse, as a failure does.

    A hundred of each, the default, is what studies of external validation ask for at least: Vergouwe, Steyerberg,
    Eijkemans, Habbema, J. Clin. Epidemiol. 58 (2005); Collins, Ogundimu, Altman, Stat. Med. 35 (2016).
    """

    minimum_positives: int = Field(default=100, ge=2)
    minimum_negatives: int = Field(default=100, ge=2)


class LeakageGate(Frozen):
    maximum_single_feature_roc_auc: float = Field(gt=0.5, le=1)


class HigherIsBetter(Frozen):
    minimum: float
    better_than_baseline_by: float = Field(ge=0)


class LowerIsBetter(Frozen):
    maximum: float
    better_than_baseline_by: float = Field(ge=0)


class Limit(Frozen):
    maximum: float


class QualityGate(Frozen):
    """Thresholds of the model's quality on the test set; each comparison uses a paired bootstrap interval."""

    bootstrap_samples: int = Field(ge=100)
    confidence: float = Field(gt=0.5, lt=1)
    roc_auc: HigherIsBetter
    pr_auc: HigherIsBetter
    expected_cost: LowerIsBetter
    calibration_error: Limit


class FairnessGate(Frozen):
    """From how many rows on a group is judged; the limits are those of the protected attributes.

    `minimum_group_cases` is of the rows that a rate is a share of: the group's positives for a true positive rate, its
    negatives for a false positive rate. With a hundred, a rate's 95 % interval is ± 0.10 at the widest. A difference
    is judged when the groups that are hold at least `minimum_judged_share` of all such rows, and are two or more.
    """

    minimum_group_rows: int = Field(ge=1)
    minimum_group_cases: int = Field(default=100, ge=1)
    minimum_judged_share: float = Field(default=0.95, gt=0, le=1)


class LatencyGate(Frozen):
    """How long a request of `rows` may take, at a quantile of many."""

    rows: int = Field(ge=1)
    quantile: float = Field(gt=0, lt=1)
    maximum_ms: float = Field(gt=0)


class ShadowGate(Frozen):
    """A promoted release decides anew on logged requests: how many, and how large a share may be decided otherwise.

    Fewer than `minimum_rows` say nothing: with a hundred, a share's 95 % interval is ± 0.10 at the widest.
    """

    minimum_rows: int = Field(default=100, ge=1)
    maximum_rows: int = Field(ge=1, le=100_000)
    maximum_changed_decisions: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if self.minimum_rows > self.maximum_rows:
            raise ValueError(
                f"minimum_rows, {self.minimum_rows:,}, is above maximum_rows, {self.maximum_rows:,}: "
                "so many requests are never looked at"
            )
        return self


class Gates(Frozen):
    """Everything that blocks a release; what can't be judged for want of evidence blocks it too."""

    evidence: MinimumEvidence = Field(default_factory=MinimumEvidence)
    data_leakage: LeakageGate
    quality: QualityGate
    fairness: FairnessGate
    latency: LatencyGate
    shadow: ShadowGate


class Waiver(Frozen):
    """A gate switched off on purpose, whether it fails or can't be judged: by whom, why and until when (that day
    included)."""

    gate: str
    reason: Said = Field(min_length=10)
    approved_by: Said = Field(min_length=1)
    expires: date
