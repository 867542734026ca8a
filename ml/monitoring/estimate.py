"""How well the model does: measured where labels are known, estimated from its own scores where they aren't yet.

Without labels a calibrated score is the probability that the label is positive, which gives the expected value of any
metric. That is confidence-based performance estimation (CBPE), as in NannyML: Kivimäki, Białek, Kuberski, Nurminen,
"Performance Estimation in Binary Classification Using Calibrated Confidence" (2025, arXiv:2505.05295). It follows a
change of the inputs. It cannot see the relation between inputs and label change: that takes labels.

Scores are never calibrated to the last digit, and with many rows what their calibration is wrong by is more than chance
is. The interval of an estimate therefore holds for every calibration that is wrong by as much as it was measured to be
on the release's test set: scores all too low or too high by it, or too timid or too bold.
"""

from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ml.errors import InputRefused
from ml.problem import Costs

__all__ = ["Metric", "PerformanceMetric", "estimate_performance", "realised_performance"]

Metric = Literal["accuracy", "roc_auc", "expected_cost"]

# Below this the normal approximation of the intervals says little: they are left out.
SMALLEST_SAMPLE = 30


class PerformanceMetric(msgspec.Struct, frozen=True):
    """A metric with its confidence interval; None where there are too few rows of a class to tell.

    Accuracy and ROC AUC are fractions, the expected cost is in `Costs.unit` per row.
    """

    name: Metric
    value: float | None
    low: float | None
    high: float | None
    rows: int


def estimate_performance(
    scores: ArrayLike,
    *,
    decision_threshold: float,
    costs: Costs,
    confidence: float = 0.95,
    calibration_error: float = 0.0,
) -> tuple[PerformanceMetric, ...]:
    """The metrics to expect of calibrated `scores` (rows,), before any label is known.

    The interval is where the metric measured on a sample of this size would lie: it covers the chance in the labels
    as well as in the rows, and scores that are wrong by `calibration_error` in the mean. InputRefused for scores
    outside [0, 1] or missing.
    """
    checked = _checked(scores, "scores")
    middle = _performance(checked, checked, decision_threshold, costs, confidence)
    around = [
        _performance(checked, probable, decision_threshold, costs, confidence)
        for probable in _miscalibrated(checked, calibration_error)
    ]
    return tuple(_widened(one, others) for one, *others in zip(middle, *around, strict=True))


def _miscalibrated(scores: NDArray[np.float64], error: float) -> list[NDArray[np.float64]]:
    """What the probabilities would be were the scores wrong by `error` in the mean: by level, and by spread."""
    if not error or not len(scores):
        return []
    distances = scores - scores.mean()
    spread = float(np.abs(distances).mean())
    apart = distances * (error / spread) if spread > error else np.zeros_like(scores)
    return [np.clip(scores + wrong, 0, 1) for wrong in (error, -error, apart, -apart)]


def _widened(metric: PerformanceMetric, others: list[PerformanceMetric]) -> PerformanceMetric:
    """The metric with the interval that holds all of theirs."""
    lows = [m.low for m in (metric, *others) if m.low is not None]
    highs = [m.high for m in (metric, *others) if m.high is not None]
    if metric.low is None or metric.high is None:
        return metric
    return PerformanceMetric(metric.name, metric.value, min(lows), max(highs), metric.rows)


def realised_performance(
    scores: ArrayLike, labels: ArrayLike, *, decision_threshold: float, costs: Costs, confidence: float = 0.95
) -> tuple[PerformanceMetric, ...]:
    """The metrics of `scores` (rows,) against `labels` (rows,) of 0 and 1; rows that are scored `decision_threshold`
    or more are held to be positive.

    InputRefused for other labels, or when there isn't one label for each score.
    """
    checked, known = _checked(scores, "scores"), _checked(labels, "labels")
    if len(checked) != len(known):
        raise InputRefused(f"There are {len(checked)} scores and {len(known)} labels: pass the labelled rows only.")
    if wrong := int((~np.isin(known, (0, 1))).sum()):
        raise InputRefused(f"{wrong} of {len(known)} labels are neither 0 nor 1.")
    return _performance(checked, known, decision_threshold, costs, confidence)


class _Mean(NamedTuple):
    value: float | None
    variance: float | None  # of the value, not of one row


def _performance(
    scores: NDArray[np.float64], positive: NDArray[np.float64], threshold: float, costs: Costs, confidence: float
) -> tuple[PerformanceMetric, ...]:
    """`positive` is each row's probability of a positive label: the label itself once it is known."""
    is_held_positive = scores >= threshold
    wrong = np.where(is_held_positive, 1 - positive, positive)
    cost = np.where(is_held_positive, costs.false_positive.cost, costs.false_negative.cost)
    measured: dict[Metric, _Mean] = {
        "accuracy": _mean(1 - wrong, 1 - wrong),
        "roc_auc": _roc_auc(scores, positive),
        "expected_cost": _mean(wrong * cost, wrong * cost**2),
    }
    z = float(stats.norm.ppf((1 + confidence) / 2))
    return tuple(_metric(name, mean, z, len(scores)) for name, mean in measured.items())


def _metric(name: Metric, mean: _Mean, z: float, rows: int) -> PerformanceMetric:
    if mean.value is None or mean.variance is None or rows < SMALLEST_SAMPLE:
        return PerformanceMetric(name, mean.value, None, None, rows)
    margin = z * mean.variance**0.5
    highest = np.inf if name == "expected_cost" else 1.0
    return PerformanceMetric(name, mean.value, max(0.0, mean.value - margin), min(highest, mean.value + margin), rows)


def _mean(first: NDArray[np.float64], second: NDArray[np.float64]) -> _Mean:
    """The mean of a quantity from each row's first and second moment."""
    if not len(first):
        return _Mean(None, None)
    value = float(first.mean())
    return _Mean(value, max(0.0, float(second.mean()) - value**2) / len(first))


def _roc_auc(scores: NDArray[np.float64], positive: NDArray[np.float64]) -> _Mean:
    """The chance that a positive row scores above a negative one, ties counting half, and its variance.

    DeLong, DeLong, Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating characteristic
    curves" (1988), where a row may be positive in part.
    """
    distinct, which = np.unique(scores, return_inverse=True)
    positives = np.bincount(which, weights=positive, minlength=len(distinct))
    negatives = np.bincount(which, weights=1 - positive, minlength=len(distinct))
    p, n = float(positives.sum()), float(negatives.sum())
    if p <= 0 or n <= 0:
        return _Mean(None, None)
    beaten = (np.cumsum(negatives) - negatives / 2) / n  # share of the negatives that a positive with this score beats
    beating = 1 - (np.cumsum(positives) - positives / 2) / p
    value = float(positives @ beaten / p)
    if p <= 1 or n <= 1:
        return _Mean(value, None)
    variance = positives @ (beaten - value) ** 2 / (p * (p - 1)) + negatives @ (beating - value) ** 2 / (n * (n - 1))
    return _Mean(value, float(variance))


def _checked(values: ArrayLike, what: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputRefused(f"The {what} have the shape {array.shape}; one number for each row is needed.")
    if wrong := int((~((array >= 0) & (array <= 1))).sum()):
        raise InputRefused(f"{wrong} of {len(array)} {what} are missing or not between 0 and 1.")
    return array
