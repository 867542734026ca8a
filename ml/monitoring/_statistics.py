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
BLOCK = 65_536  # values at a time: what is computed on the way stays in the processor's cache
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

    Where even together they are too thin, Fisher's exact test compares them with the rest, chi-square the others among
    themselves, and the p-value is the smaller of both, doubled (Bonferroni): a code that is new in a day of traffic is
    thin beside years of training data, and must not vanish. Cramér's V is the one of two samples of equal size,
    sqrt(chi2 (1/n + 1/m)) / 2: the usual sqrt(chi2 / (n + m)) shrinks as the sizes differ, and would hide drift too.
    """
    table, thin = _thin_first(np.array([reference, live]))
    pooled = np.column_stack([table[:, :thin].sum(axis=1), table[:, thin:]]) if thin else table
    if pooled.shape[1] < 2:
        return ChiSquare(0.0, 1.0, 0.0)
    test: Any = stats.chi2_contingency(pooled, correction=False)
    statistic, p_value = float(test.statistic), float(test.pvalue)
    if thin and test.expected_freq[:, 0].min() < SMALLEST_EXPECTED:
        p_value = _thin_p_value(pooled[:, 0], pooled[:, 1:])
    n, m = pooled.sum(axis=1)
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
    before = np.concatenate([[0], up_to_reference])
    d = 0.0
    for start in range(0, len(live.values), BLOCK):
        block = slice(start, start + BLOCK)
        values, counts, up_to = live.values[block], live.counts[block], up_to_live[block]
        position = np.searchsorted(reference.values, values, side="right")
        is_shared = reference.values[position - 1] == values  # at position 0 it looks at the largest: not equal
        at_value = before[position]
        below_value = at_value - np.where(is_shared, reference.counts[position - 1], 0)
        # Between two live values only the reference rises: the largest distances are at a live value and just before.
        d = max(d, float((up_to / m - at_value / n).max()), float((below_value / n - (up_to - counts) / m).max()))
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


def _thin_first(table: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """`table` (2, bins) without empty bins, those first that expect too few rows in either sample; their number."""
    table = table[:, table.sum(axis=0) > 0]
    expected = table.sum(axis=0) * (table.sum(axis=1).min() / table.sum())
    return table[:, np.argsort(expected, kind="stable")], int((expected < SMALLEST_EXPECTED).sum())


def _thin_p_value(thin: NDArray[np.int64], others: NDArray[np.int64]) -> float:
    fisher: Any = stats.fisher_exact(np.column_stack([thin, others.sum(axis=1)]))
    if others.shape[1] < 2:
        return float(fisher.pvalue)
    test: Any = stats.chi2_contingency(others, correction=False)
    return min(1.0, 2 * min(float(fisher.pvalue), float(test.pvalue)))
