"""What blocks a release, and who has switched a gate off until when."""

from datetime import date

from pydantic import Field

from ml.problem.frozen import Frozen

__all__ = ["FairnessGate", "Gates", "LatencyGate", "ShadowGate", "Waiver"]


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
    """From how many rows on a group is judged; the limits are those of the protected attributes."""

    minimum_group_rows: int = Field(ge=1)


class LatencyGate(Frozen):
    """How long a request of `rows` may take, at a quantile of many."""

    rows: int = Field(ge=1)
    quantile: float = Field(gt=0, lt=1)
    maximum_ms: float = Field(gt=0)


class ShadowGate(Frozen):
    """A promoted release decides anew on logged requests: how many, and how large a share may be decided otherwise."""

    maximum_rows: int = Field(ge=1, le=100_000)
    maximum_changed_decisions: float = Field(ge=0, le=1)


class Gates(Frozen):
    """Everything that blocks a release."""

    data_leakage: LeakageGate
    quality: QualityGate
    fairness: FairnessGate
    latency: LatencyGate
    shadow: ShadowGate


class Waiver(Frozen):
    """A gate switched off on purpose: by whom, why and until when (that day included)."""

    gate: str
    reason: str = Field(min_length=10)
    approved_by: str
    expires: date
