"""The metrics of a score, and the bootstrap interval of their difference between two scores of the same rows."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.problem import Costs

__all__ = ["METRICS", "ScoredRows", "difference_intervals"]

CALIBRATION_BINS: Final = 10
METRICS: Final = (
    "roc_auc",
    "pr_auc",
    "calibration_error",
    "brier",
    "expected_cost",
    "accuracy",
    "accuracy_at_half",
)


class ScoredRows:
    """Labels with a model's scores, sorted once, so that metrics under many row weights are cheap.

    scikit-learn gives the same values (the tests compare them) but sorts again for every bootstrap sample,
    which would take ten times as long as all the rest of an evaluation.
    """

    def __init__(
        self, positive: NDArray[np.int8], scores: NDArray[np.float64], decision_threshold: float, costs: Costs
    ) -> None:
        self.rows = len(scores)
        self._is_defined = self.rows > 0 and bool(np.all((scores >= 0) & (scores <= 1)))
        self._positive = positive.astype(np.float64)
        distinct, self._group = np.unique(scores, return_inverse=True)
        self._scores = distinct
        self._bin = _quantile_bins(scores, distinct)
        wrong_up = (scores >= decision_threshold) & (positive == 0)
        wrong_down = (scores < decision_threshold) & (positive == 1)
        self._row_losses = np.stack(
            [
                (scores - positive) ** 2,
                costs.false_positive.cost * wrong_up + costs.false_negative.cost * wrong_down,
                ~(wrong_up | wrong_down),
                (scores >= 0.5) == (positive == 1),
            ]
        ).astype(np.float64)

    def values(self, weights: NDArray[np.float64] | None = None) -> dict[str, float]:
        """Every metric in METRICS, the rows counted `weights` times.

        pr_auc is the average precision. calibration_error is the expected calibration error (Naeini et al., AAAI
        2015) over ten bins of equally many rows (Nixon et al., CVPR workshops 2019). expected_cost is per row. NaN
        where the rows don't define a metric: roc_auc and pr_auc of one class, anything of no row, or where a score is
        no probability.
        """
        if not self._is_defined:
            return dict.fromkeys(METRICS, math.nan)
        weights = np.ones(self.rows) if weights is None else weights
        size = len(self._scores)
        positive = _sums(self._group, weights * self._positive, size)
        total = _sums(self._group, weights, size)
        brier, cost, accuracy, accuracy_at_half = self._row_losses @ weights / weights.sum()
        return {
            "roc_auc": _roc_auc(positive, total),
            "pr_auc": _average_precision(positive, total),
            "calibration_error": self._calibration_error(positive, total),
            "brier": float(brier),
            "expected_cost": float(cost),
            "accuracy": float(accuracy),
            "accuracy_at_half": float(accuracy_at_half),
        }

    def _calibration_error(self, positive: NDArray[np.float64], total: NDArray[np.float64]) -> float:
        gap = _sums(self._bin, positive - total * self._scores, CALIBRATION_BINS)
        return float(np.abs(gap).sum() / total.sum())


def difference_intervals(
    model: ScoredRows, baseline: ScoredRows, *, samples: int, confidence: float, seed: int
) -> dict[str, tuple[float, float]]:
    """The paired percentile-bootstrap interval of model minus baseline, per metric (Efron and Tibshirani, 1993).

    NaN where a sample doesn't define the metric: the rows are too few then to say anything.
    """
    if not model.rows:
        return dict.fromkeys(METRICS, (math.nan, math.nan))
    random = np.random.default_rng(seed)
    differences: dict[str, list[float]] = {name: [] for name in METRICS}
    for _ in range(samples):
        drawn = random.integers(0, model.rows, model.rows)
        weights = np.bincount(drawn, minlength=model.rows).astype(np.float64)
        ours, theirs = model.values(weights), baseline.values(weights)
        for name in METRICS:
            differences[name].append(ours[name] - theirs[name])
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    intervals = {name: np.quantile(values, tails) for name, values in differences.items()}
    return {name: (float(low), float(high)) for name, (low, high) in intervals.items()}


def _quantile_bins(scores: NDArray[np.float64], distinct: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each distinct score; equal scores share one, so there may be fewer bins."""
    if not len(scores):
        return np.zeros(0, dtype=np.intp)
    inner = np.quantile(scores, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1])
    return np.searchsorted(inner, distinct, side="left")


def _sums(group: NDArray[np.intp], weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return np.bincount(group, weights, minlength=size).astype(np.float64, copy=False)


def _roc_auc(positive: NDArray[np.float64], total: NDArray[np.float64]) -> float:
    negative = total - positive
    pairs = positive.sum() * negative.sum()
    if not pairs > 0:
        return math.nan
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / pairs)


def _average_precision(positive: NDArray[np.float64], total: NDArray[np.float64]) -> float:
    if not positive.sum() > 0:
        return math.nan
    descending, held = positive[::-1], np.cumsum(total[::-1])
    precision = np.divide(np.cumsum(descending), held, out=np.zeros_like(held), where=held > 0)
    return float((descending * precision).sum() / descending.sum())
