"""Distances between two counted distributions, and the tests that say whether a distance may be chance."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from scipy.spatial import distance

from ml.monitoring._columns import NumericColumn, ValueCounts

__all__ = ["ChiSquare", "KolmogorovSmirnov", "chi_square", "jensen_shannon", "kolmogorov_smirnov", "psi"]

Counts = NDArray[np.int64]

# A share below this counts as this: an empty bin would make the index infinite. Evidently uses the same value.
SMALLEST_SHARE = 1e-4
# Cochran, "Some methods for strengthening the common chi-square tests" (1954): the test needs that many expected.
SMALLEST_EXPECTED = 5
# Up to here scipy's `method="auto"` computes the exact p-value, beyond it the asymptotic one.
LARGEST_EXACT = 10_000
# Where scipy's tail of the two-sample statistic is a sum of that many terms: effective sizes, and n d^2.
SLOW_SIZES = (10_000, 1_000_000)
SLOW_TAIL = (2.2, 370.0)


class ChiSquare(NamedTuple):
    """Pearson's statistic for homogeneity, its p-value, and Cramér's V."""

    statistic: float
    p_value: float
    cramers_v: float


class KolmogorovSmirnov(NamedTuple):
    """The largest distance between two distribution functions and its two-sided p-value.

    Not `exact` means that it was taken at the edges of bins only: a lower bound, and a p-value that errs upwards.
    """

    statistic: float
    p_value: float
    exact: bool


def psi(reference: Counts, live: Counts) -> float:
    """Population stability index, sum of (p - q) ln(p / q) over the bins; 0 when equal, without upper bound."""
    q = np.maximum(reference / reference.sum(), SMALLEST_SHARE)
    p = np.maximum(live / live.sum(), SMALLEST_SHARE)
    return float(((p - q) * np.log(p / q)).sum())


def jensen_shannon(reference: Counts, live: Counts) -> float:
    """Jensen-Shannon distance, the root of the divergence in bits: 0 when equal, 1 when nothing overlaps."""
    return float(distance.jensenshannon(reference, live, base=2))


def chi_square(reference: Counts, live: Counts) -> ChiSquare:
    """Whether both samples come from one distribution; bins too thin for the test are thrown together.

    Cramér's V is the one of two samples of equal size, sqrt(chi2 (1/n + 1/m)) / 2. The usual sqrt(chi2 / (n + m))
    shrinks when a day of traffic is compared with years of training data, and would hide the drift.
    """
    table = _pool_thin(np.array([reference, live]))
    if table.shape[1] < 2:
        return ChiSquare(0.0, 1.0, 0.0)
    test: Any = stats.chi2_contingency(table, correction=False)
    statistic, p_value = float(test.statistic), float(test.pvalue)
    n, m = table.sum(axis=1)
    return ChiSquare(statistic, p_value, math.sqrt(statistic * (1 / n + 1 / m)) / 2)


def kolmogorov_smirnov(reference: NumericColumn, live: NumericColumn) -> KolmogorovSmirnov:
    """The two-sample test over the numbers of both columns, missing ones left out; both must have some.

    Equal to `scipy.stats.ks_2samp` where both columns were kept exactly.
    """
    if reference.values is not None and live.values is not None:
        return _exact(reference.values, live.values)
    n, m = sum(reference.bins), sum(live.bins)
    d = float(np.abs(np.cumsum(live.bins) / m - np.cumsum(reference.bins) / n).max())
    return KolmogorovSmirnov(d, _asymptotic(d, n, m), exact=False)


def _exact(reference: ValueCounts, live: ValueCounts) -> KolmogorovSmirnov:
    up_to_reference, up_to_live = np.cumsum(reference.counts), np.cumsum(live.counts)
    n, m = int(up_to_reference[-1]), int(up_to_live[-1])
    if max(n, m) <= LARGEST_EXACT:
        test: Any = stats.ks_2samp(reference.repeated(), live.repeated())
        return KolmogorovSmirnov(float(test.statistic), float(test.pvalue), exact=True)
    # Between two live values only the reference rises, so the largest distances are at a live value and just before.
    position = np.searchsorted(reference.values, live.values, side="right")
    before = np.concatenate([[0], up_to_reference])
    at_value = before[position]
    is_shared = reference.values[position - 1] == live.values  # at position 0 it looks at the largest: not equal
    below_value = at_value - np.where(is_shared, reference.counts[position - 1], 0)
    above = (up_to_live / m - at_value / n).max()
    under = (below_value / n - (up_to_live - live.counts) / m).max()
    d = float(max(above, under))
    return KolmogorovSmirnov(d, _asymptotic(d, n, m), exact=True)


def _asymptotic(d: float, n: int, m: int) -> float:
    """The p-value of `scipy.stats.ks_2samp(method="asymp")`: to 1e-8 of it where it would take scipy a second."""
    larger, smaller = float(max(n, m)), float(min(n, m))
    size = round(larger * smaller / (larger + smaller))
    if SLOW_SIZES[0] <= size <= SLOW_SIZES[1] and SLOW_TAIL[0] <= size * d * d < SLOW_TAIL[1]:
        return _smirnov_tail(d, size)
    return float(np.clip(stats.kstwo.sf(d, size), 0, 1))


def _smirnov_tail(d: float, n: int) -> float:
    """Twice the one-sided tail of Smirnov, d sum_j C(n, j) (d + j/n)^(j - 1) (1 - d - j/n)^(n - j) for j <= n (1 - d).

    scipy adds up all n terms. They are values of a smooth function that vanishes at both ends, where the trapezoidal
    rule converges exponentially: a few thousand points in place of a million give ten digits.
    """
    j, step = np.linspace(0, n * (1 - d), 4096, retstep=True)
    j = j[1:-1]
    t = j / n + d
    binomial = special.gammaln(n + 1) - special.gammaln(j + 1) - special.gammaln(n - j + 1)
    terms = np.exp(binomial + (j - 1) * np.log(t) + (n - j) * np.log1p(-t))
    return float(2 * d * step * terms.sum())


def _pool_thin(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """`table` (2, bins) with every bin that expects too few rows in either sample added to one, the thinnest first."""
    table = table[:, table.sum(axis=0) > 0]
    table = table[:, np.argsort(table.sum(axis=0), kind="stable")]
    smallest_share = table.sum(axis=1).min() / table.sum()
    enough = table.sum(axis=0) * smallest_share >= SMALLEST_EXPECTED
    thin = int((~enough).sum())
    # What is pooled may itself be too thin: then it takes in the next bins.
    while 0 < thin < table.shape[1] and table[:, :thin].sum() * smallest_share < SMALLEST_EXPECTED:
        thin += 1
    return np.column_stack([table[:, :thin].sum(axis=1), table[:, thin:]]) if thin else table
