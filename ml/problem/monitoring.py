"""The problem definition's section `monitoring`: from when on what the monitor sees is an alert."""

from typing import Literal

from pydantic import Field

from ml.problem.frozen import Frozen

__all__ = ["DriftLimits", "FairnessLimits", "Monitoring", "PerformanceLimits", "QualityLimits", "ServiceLimits"]


class DriftLimits(Frozen):
    """From which distance on drift matters, by statistic, and which share of the alerts may be chance.

    With fewer than `minimum_rows` a distance is shown and not judged.
    """

    psi: float = Field(gt=0)
    jensen_shannon: float = Field(gt=0)
    kolmogorov_smirnov: float = Field(gt=0)
    cramers_v: float = Field(gt=0)
    false_discovery_rate: float = Field(gt=0, lt=1)
    minimum_rows: int = Field(ge=1)


class PerformanceLimits(Frozen):
    """How much worse than on the release's test set each metric may become, in the metric's own unit.

    Fewer than `minimum_rows` labelled rows, or than `minimum_class_rows` of either class, are shown, and what is judged
    is the estimate from the scores.
    """

    maximum_drop: dict[Literal["roc_auc", "accuracy", "expected_cost"], float]
    minimum_rows: int = Field(ge=30)
    minimum_class_rows: int = Field(default=100, ge=2)


class QualityLimits(Frozen):
    """The largest shares of a column's rows that may be missing beyond the reference's, or not what the problem allows.

    `maximum_volume_drop` is the share of the rows of the window before that may be gone. What is wrong alerts on any
    number of rows; that nothing is, fewer than `minimum_rows` don't show: of a hundred, one in a hundred is one.
    """

    maximum_missing: float = Field(ge=0, le=1)
    maximum_invalid: float = Field(ge=0, le=1)
    maximum_volume_drop: float = Field(gt=0, le=1)
    minimum_rows: int = Field(default=100, ge=1)


class FairnessLimits(Frozen):
    """Smaller groups are shown, not judged; the limits themselves are those under `protected`.

    `minimum_group_cases` is of the rows that a rate is a share of, as in the gates. That no difference is too large is
    said when the groups that are judged hold at least `minimum_judged_share` of all such rows; one that is, alerts.
    """

    minimum_group_rows: int = Field(ge=1)
    minimum_group_cases: int = Field(default=100, ge=1)
    minimum_judged_share: float = Field(default=0.95, gt=0, le=1)


class ServiceLimits(Frozen):
    """Shares of the endpoint's answers that may be errors (5xx) or refusals (4xx), and its slowest usual answer."""

    maximum_error_share: float = Field(ge=0, le=1)
    maximum_refused_share: float = Field(ge=0, le=1)
    quantile: float = Field(gt=0, lt=1)
    maximum_ms: float = Field(gt=0)


class Monitoring(Frozen):
    """What is looked at, and when it alerts. `confidence` is that of every interval.

    Drift, quality and volume are those of the last `window_hours`; performance and fairness those of the predictions
    of the last `labelled_days` whose label is known by now.
    """

    window_hours: float = Field(gt=0)
    labelled_days: float = Field(gt=0)
    confidence: float = Field(gt=0.5, lt=1)
    drift: DriftLimits
    performance: PerformanceLimits
    quality: QualityLimits
    fairness: FairnessLimits
    service: ServiceLimits
