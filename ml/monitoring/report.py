"""What one monitoring run found, and where it stands in the store.

    monitoring/<time>.json     a Report, for machines
    monitoring/<time>.html     the same with plots, for people
    monitoring/latest.json     the newest Report
    monitoring/latest.prom     its figures as Prometheus reads them

Every section says whether it alerts, whether there was enough to judge by (`judged`), and in one sentence (`summary`)
why or why not.
"""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ml.monitoring.drift import DriftResult
from ml.monitoring.estimate import PerformanceMetric
from ml.monitoring.latest import LATEST, LATEST_METRICS, PREFIX
from ml.store import Store

__all__ = [
    "ColumnQuality",
    "Difference",
    "Drift",
    "Fairness",
    "FeatureDrift",
    "Group",
    "MetricResult",
    "Performance",
    "Quality",
    "ReleaseFindings",
    "Report",
    "Volume",
    "Window",
    "write",
]

KEPT: Final = 500  # reports; older ones are deleted, Prometheus has their figures


class Window(msgspec.Struct, frozen=True):
    """Drift, quality and volume are those of [since, until), performance and fairness of [labelled_since, until)."""

    since: datetime
    until: datetime
    labelled_since: datetime


class Volume(msgspec.Struct, frozen=True):
    """Predictions in the window and in the equally long one before it."""

    rows: int
    rows_before: int
    alert: bool
    reason: str
    judged: bool = True


class ColumnQuality(msgspec.Struct, frozen=True):
    """Shares of a column's rows: missing, missing in the reference, and not allowed by the problem definition."""

    missing: float
    missing_in_reference: float
    invalid: float
    alert: bool
    reason: str


class Quality(msgspec.Struct, frozen=True):
    """Data quality of the window. `not_logged` names the features that the prediction log omits."""

    alert: bool
    summary: str
    volume: Volume
    columns: dict[str, ColumnQuality]
    not_logged: tuple[str, ...]
    judged: bool = True


class FeatureDrift(msgspec.Struct, frozen=True):
    """How far one feature, or the score, has moved, by statistic."""

    alert: bool
    statistics: dict[str, DriftResult]


class Drift(msgspec.Struct, frozen=True):
    """Every feature that is logged, and the score, against the reference of the release."""

    alert: bool
    summary: str
    features: dict[str, FeatureDrift]
    judged: bool


class MetricResult(msgspec.Struct, frozen=True):
    """A metric as it was on the release's test set, as it is on labelled rows, and as the scores let expect it.

    `basis` says which of the two is judged; `worse_by` is positive when it is worse than at release.
    """

    at_release: float | None
    realised: PerformanceMetric | None
    estimated: PerformanceMetric | None
    basis: str | None
    worse_by: float | None
    allowed: float | None
    alert: bool
    reason: str


class Performance(msgspec.Struct, frozen=True):
    """The metrics of the release, on `labelled` rows and estimated."""

    alert: bool
    summary: str
    labelled: int
    metrics: dict[str, MetricResult]
    judged: bool


class Group(msgspec.Struct, frozen=True):
    """One group of a protected attribute: rows in the window, rows with a label, rates now and at release."""

    attribute: str
    group: str
    rows: int
    labelled: int
    rates: dict[str, float]
    at_release: dict[str, float]


class Difference(msgspec.Struct, frozen=True):
    """The largest difference of a rate between two groups, with its interval; None where no two can be compared."""

    attribute: str
    rate: str
    value: float | None
    low: float | None
    high: float | None
    highest: str | None
    lowest: str | None
    limit: float
    alert: bool
    reason: str


class Fairness(msgspec.Struct, frozen=True):
    """Rates of the groups of each protected attribute, and whether they are farther apart than the problem allows."""

    alert: bool
    summary: str
    groups: tuple[Group, ...]
    differences: tuple[Difference, ...]
    judged: bool


class ReleaseFindings(msgspec.Struct, frozen=True):
    """Everything about one release; `rows` are in the window, `labels` in the labelled one."""

    release: str
    model: str
    version: str
    rows: int
    labels: int
    quality: Quality
    drift: Drift
    performance: Performance
    fairness: Fairness

    @property
    def alerts(self) -> dict[str, bool]:
        """Whether each section alerts."""
        return {name: getattr(self, name).alert for name in SECTIONS}

    @property
    def judged(self) -> dict[str, bool]:
        """Whether there was enough to judge each section by."""
        return {name: getattr(self, name).judged for name in SECTIONS}


SECTIONS: Final = ("quality", "drift", "performance", "fairness")


class Report(msgspec.Struct, frozen=True):
    """One run. The champion's findings are in the JSON's top level, those of other releases under `others`."""

    at: datetime
    problem: str
    window: Window
    champion: ReleaseFindings
    others: tuple[ReleaseFindings, ...] = ()

    @property
    def alert(self) -> bool:
        """Whether anything about the champion alerts."""
        return any(self.champion.alerts.values())

    @property
    def key(self) -> str:
        """Where the report stands in the store, without suffix: named after its time in UTC."""
        return f"{PREFIX}/{self.at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"

    def to_builtins(self) -> dict[str, Any]:
        """The JSON's objects, lists and values."""
        head = {
            "schema_version": 1,
            "at": self.at,
            "page": f"{self.key}.html",
            "problem": self.problem,
            "alert": self.alert,
        }
        champion: dict[str, Any] = msgspec.to_builtins(self.champion)
        return msgspec.to_builtins({**head, "window": self.window, **champion, "others": self.others})


def write(store: Store, report: Report, page: str, metrics: bytes) -> None:
    """Keep a report, its page and its metrics; `latest.json` goes last, so what it names is there."""
    data = msgspec.json.format(msgspec.json.encode(report.to_builtins()), indent=1)
    store.write(f"{report.key}.html", page.encode())
    store.write(f"{report.key}.json", data)
    store.write(LATEST_METRICS, metrics)
    store.write(LATEST, data)
    reports = (key for key in store.list(PREFIX) if key.endswith(".json") and key != LATEST)
    for old in sorted(reports, reverse=True)[KEPT:]:
        store.delete(f"{old.removesuffix('.json')}.html")
        store.delete(old)
