"""The monitoring report as a page: the verdict for whoever decides, the detail below for whoever looks into it."""

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ml.monitoring.drift import DriftResult
from ml.monitoring.figures import Distribution, Figures
from ml.monitoring.report import FeatureDrift, MetricResult, Report
from ml.problem import Problem

__all__ = ["render"]

# Names and values come from a store that others write to: everything is escaped.
_PAGES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
NAMES: Final = {
    "roc_auc": "ROC AUC",
    "psi": "PSI",
    "jensen_shannon": "Jensen-Shannon",
    "kolmogorov_smirnov": "Kolmogorov-Smirnov",
    "cramers_v": "Cramér's V",
    "true_positive_rate": "true positives",
    "false_positive_rate": "false positives",
    "selection_rate": "held positive",
}


def render(report: Report, problem: Problem, figures: Figures) -> str:
    """One self-contained HTML page: the champion's findings in full, those of other releases in a line each."""
    champion = report.champion
    alerting = [name for name, alert in champion.alerts.items() if alert]
    return _PAGES.get_template("report.html").render(
        report=report,
        problem=problem,
        champion=champion,
        figures=figures,
        alerting=alerting,
        judged=sum(getattr(champion, name).judged for name in champion.alerts),
        drifted=_by_severity(champion.drift.features, figures.distributions),
        strips={name: _strip(metric) for name, metric in champion.performance.metrics.items()},
        limits=problem.monitoring.drift.model_dump(),
        name=lambda key: NAMES.get(key, str(key).replace("_", " ")),
    )


def _by_severity(
    features: dict[str, FeatureDrift], distributions: dict[str, Distribution]
) -> list[tuple[str, FeatureDrift, Distribution]]:
    """The features, those farthest beyond, or nearest to, their threshold first."""
    ordered = sorted(features.items(), key=lambda item: (item[1].alert, _severity(item[1].statistics)), reverse=True)
    return [(name, feature, distributions[name]) for name, feature in ordered]


def _severity(statistics: dict[str, DriftResult]) -> float:
    return max(((r.value or 0.0) / r.threshold for r in statistics.values()), default=0.0)


def _strip(metric: MetricResult) -> dict[str, Any]:
    """Where the value at release, the estimate and the measurement lie on a common scale, in percent of its width."""
    measured = {"realised": metric.realised, "estimated": metric.estimated}
    shown = {key: one for key, one in measured.items() if one is not None and one.value is not None}
    points = [v for m in shown.values() for v in (m.value, m.low, m.high) if v is not None]
    points += [metric.at_release] if metric.at_release is not None else []
    if metric.at_release is not None and metric.allowed is not None:
        points += [metric.at_release - metric.allowed, metric.at_release + metric.allowed]
    if not points:
        return {}
    low, high = min(points), max(points)
    room = (high - low) * 0.08 or 0.01

    def place(value: float) -> float:
        return 100 * (value - low + room) / (high - low + 2 * room)

    rows = {
        key: {
            "at": place(m.value or 0.0),
            "from": place(m.low or m.value or 0.0),
            "to": place(m.high or m.value or 0.0),
        }
        for key, m in shown.items()
    }
    return {"rows": rows, "release": None if metric.at_release is None else place(metric.at_release)}
