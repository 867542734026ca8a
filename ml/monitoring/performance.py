"""Is the model worse than when it was released? On labelled rows where there are enough, else as its scores tell."""

import polars as pl

from ml.bundle.manifest import Manifest
from ml.monitoring.estimate import PerformanceMetric, estimate_performance, realised_performance
from ml.monitoring.report import MetricResult, Performance
from ml.problem import Problem

__all__ = ["judge_performance"]

LOWER_IS_BETTER = {"expected_cost"}


def judge_performance(rows: pl.DataFrame, labelled: pl.DataFrame, problem: Problem, manifest: Manifest) -> Performance:
    """Every metric against its value at release. `labelled` has score and label; `rows`, the window, has score.

    An alert takes a drop beyond what is allowed, and an interval that leaves no room for chance.
    """
    costs, confidence, threshold = problem.costs, problem.monitoring.confidence, manifest.decision_threshold
    at_release = {metric.name: metric.value for metric in manifest.metrics}
    estimated = estimate_performance(
        rows["score"],
        decision_threshold=threshold,
        costs=costs,
        confidence=confidence,
        calibration_error=at_release.get("calibration_error") or 0.0,  # not judged: nothing is known of it
    )
    positive = (labelled["label"] == problem.target.positive).cast(pl.Int8)
    realised = realised_performance(
        labelled["score"], positive, decision_threshold=threshold, costs=costs, confidence=confidence
    )
    known, expected = _of_a_class(positive), _of_a_class(rows["score"])
    metrics = {
        real.name: _judge(at_release.get(real.name), (real, known), (guess, expected), problem)
        for real, guess in zip(realised, estimated, strict=True)
    }
    judged = any(metric.worse_by is not None for metric in metrics.values())
    return Performance(any(m.alert for m in metrics.values()), _summary(metrics), labelled.height, metrics, judged)


def _of_a_class(positive: pl.Series) -> float:
    """How many rows there are of the rarer class, or are to be expected of it by their scores."""
    positives = float(positive.sum())
    return min(positives, len(positive) - positives)


def _judge(
    before: float | None,
    realised: tuple[PerformanceMetric, float],
    estimated: tuple[PerformanceMetric, float],
    problem: Problem,
) -> MetricResult:
    """Each metric comes with how many of its rows are of the rarer class."""
    limits = problem.monitoring.performance
    allowed = limits.maximum_drop.get(realised[0].name)
    real, guess = (metric if metric.rows else None for metric, _ in (realised, estimated))

    def result(basis: str | None, worse_by: float | None, alert: bool, reason: str) -> MetricResult:
        return MetricResult(before, real, guess, basis, worse_by, allowed, alert, reason)

    enough = (metric for metric, of_a_class in (realised, estimated) if of_a_class >= limits.minimum_class_rows)
    judged = next((metric for metric in enough if _is_known(metric, limits.minimum_rows)), None)
    if judged is None or judged.value is None:
        needed = f"{limits.minimum_rows} rows, {limits.minimum_class_rows} of each class"
        return result(None, None, False, f"not judged: fewer than {needed}, or it can't be told from them")
    basis = "realised" if judged is realised[0] else "estimated"
    if before is None or allowed is None:
        missing = "its value at release" if before is None else "monitoring.performance.maximum_drop"
        return result(basis, None, False, f"not judged: {missing} says nothing about it")
    worse_by = judged.value - before if judged.name in LOWER_IS_BETTER else before - judged.value
    low, high = judged.low, judged.high
    is_certain = low is not None and high is not None and not low <= before <= high
    alert = worse_by > allowed and is_certain
    word = "worse" if worse_by > 0 else "better"
    chance = "" if is_certain else ", perhaps by chance"
    return result(
        basis, worse_by, alert, f"{abs(worse_by):.3f} {word} than at release{chance}; {allowed:g} worse is allowed"
    )


def _is_known(metric: PerformanceMetric, minimum_rows: int) -> bool:
    """Whether there are enough rows, and an interval that says how far chance reaches."""
    return metric.rows >= minimum_rows and None not in (metric.value, metric.low, metric.high)


def _summary(metrics: dict[str, MetricResult]) -> str:
    judged = {name: metric for name, metric in metrics.items() if metric.worse_by is not None}
    if not judged:
        return "Too few predictions to say how well the model does."
    basis = "measured on labels" if any(m.basis == "realised" for m in judged.values()) else "estimated, without labels"
    worse = [f"{_name(name)} by {m.worse_by:.3f}, {m.allowed:g} is allowed" for name, m in judged.items() if m.alert]
    if worse:
        return f"The model does worse than at its release ({basis}): {'; '.join(worse)}."
    return f"The model does as well as its release promised ({basis})."


def _name(metric: str) -> str:
    return {"roc_auc": "ROC AUC", "expected_cost": "expected cost"}.get(metric, metric)
