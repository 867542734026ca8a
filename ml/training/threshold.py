"""The decision threshold: from which score on a row is held to be positive, under the problem's cost table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.problem import Problem

__all__ = ["Threshold", "choose_threshold", "cost_curve"]

STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Threshold:
    """The chosen threshold beside its two candidates; costs are per row on the validation split."""

    chosen: float
    theoretical: float
    empirical: float
    theoretical_cost: float
    empirical_cost: float

    @property
    def is_theoretical(self) -> bool:
        """Whether theory was kept."""
        return self.chosen == self.theoretical


def cost_curve(
    problem: Problem, positive: NDArray[np.int8], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Every threshold that changes a decision, ascending, and the cost per row when deciding by it."""
    distinct, group = np.unique(scores, return_inverse=True)
    thresholds = np.append(distinct, np.nextafter(distinct[-1], np.inf))  # the last one holds nobody to be positive
    positives = np.bincount(group, positive, minlength=len(distinct))
    negatives = np.bincount(group, 1 - positive, minlength=len(distinct))
    missed = np.concatenate([[0.0], np.cumsum(positives)])
    wrongly_held = negatives.sum() - np.concatenate([[0.0], np.cumsum(negatives)])
    costs = problem.costs
    total = costs.false_negative.cost * missed + costs.false_positive.cost * wrongly_held
    return thresholds, total / len(scores)


def choose_threshold(problem: Problem, positive: NDArray[np.int8], scores: NDArray[np.float64]) -> Threshold:
    """The theoretical threshold, unless the cheapest one on these rows is cheaper by more than its noise.

    For calibrated scores the cost table alone gives the best threshold (Elkan, IJCAI 2001), free of any choice
    on data. The cheapest threshold on a sample is always a little luck: it is taken only when the paired
    difference exceeds two standard errors, which says that the scores are not calibrated.
    """
    thresholds, curve = cost_curve(problem, positive, scores)
    empirical, theoretical = float(thresholds[np.argmin(curve)]), problem.cost_threshold
    saved = _row_costs(problem, positive, scores, theoretical) - _row_costs(problem, positive, scores, empirical)
    noise = STANDARD_ERRORS * saved.std() / np.sqrt(len(saved))
    return Threshold(
        chosen=empirical if saved.mean() > noise else theoretical,
        theoretical=theoretical,
        empirical=empirical,
        theoretical_cost=float(_row_costs(problem, positive, scores, theoretical).mean()),
        empirical_cost=float(curve.min()),
    )


def _row_costs(
    problem: Problem, positive: NDArray[np.int8], scores: NDArray[np.float64], threshold: float
) -> NDArray[np.float64]:
    held = scores >= threshold
    costs = problem.costs
    return costs.false_positive.cost * (held & (positive == 0)) + costs.false_negative.cost * (~held & (positive == 1))
