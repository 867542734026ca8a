"""Drift: has the live data, or the score, moved away from the reference, and enough to matter?

`DriftCalculator(thresholds).fit(reference).calculate(live)` gives a row per feature and statistic. A row alerts only
when the distance is large enough to matter and, corrected for the number of tests, too unlikely to be chance: with a
million rows everything is significant, with fifty every distance is large.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Self

import msgspec
import polars as pl
from scipy import stats

from ml.monitoring import _statistics
from ml.monitoring._columns import Column, NumericColumn
from ml.monitoring.profile import Profile, count_columns, merge

__all__ = ["DriftCalculator", "DriftResult", "DriftThresholds", "Statistic", "alerts"]

Statistic = Literal["psi", "jensen_shannon", "kolmogorov_smirnov", "cramers_v"]


class DriftThresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which effect on drift matters, by statistic, and which share of the alerts may be false.

    PSI: 0.1 is the customary "some shift", 0.25 "major" (Siddiqi, "Credit Risk Scorecards", 2006). Jensen-Shannon:
    NannyML's default. Cramér's V: Cohen's "small" effect. Kolmogorov-Smirnov: a tenth of the rows have moved.
    """

    psi: float = 0.1
    jensen_shannon: float = 0.1
    kolmogorov_smirnov: float = 0.1
    cramers_v: float = 0.1
    false_discovery_rate: float = 0.05

    def __post_init__(self) -> None:
        for name in ("psi", "jensen_shannon", "kolmogorov_smirnov", "cramers_v"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"The drift threshold {name} is {getattr(self, name)}; it must be 0 or more.")
        if not 0 < self.false_discovery_rate < 1:
            raise ValueError(f"false_discovery_rate is {self.false_discovery_rate}; it must be between 0 and 1.")


class DriftResult(msgspec.Struct, frozen=True):
    """How far one feature has moved by one statistic.

    `adjusted` is the Benjamini-Hochberg adjusted p-value over all tests of the calculation. `value` and the p-values
    are None when one side has nothing to compare; `reason` says so in words, as it says why there is an alert or none.
    """

    feature: str
    statistic: Statistic
    value: float | None
    p_value: float | None
    adjusted: float | None
    threshold: float
    alert: bool
    reason: str


class DriftCalculator:
    """Compares live data with the reference it was fitted on."""

    def __init__(self, thresholds: DriftThresholds | None = None) -> None:
        self.thresholds = thresholds or DriftThresholds()
        self._reference: Profile | None = None

    def fit(self, reference: Profile) -> Self:
        """Take `reference` as what is normal."""
        self._reference = reference
        return self

    def calculate(self, live: Profile | pl.DataFrame | pl.LazyFrame) -> tuple[DriftResult, ...]:
        """Every statistic of every column, in the reference's order; InputRefused when `live` lacks columns of it.

        Numeric columns: PSI, Jensen-Shannon and Kolmogorov-Smirnov; categorical ones: PSI, Jensen-Shannon and
        Cramér's V. All but Kolmogorov-Smirnov are tested by chi-square over the same bins, missing values included.
        """
        if self._reference is None:
            raise ValueError("DriftCalculator.calculate needs a reference: call fit first.")
        reference = self._reference
        measured: list[_Measured] = []
        for name, column in _counted(live, reference):
            measured += _measure(name, reference.columns[name], column)
        return tuple(self._judge(m, adjusted) for m, adjusted in zip(measured, _adjust(measured), strict=True))

    def _judge(self, measured: "_Measured", adjusted: float | None) -> DriftResult:
        threshold: float = getattr(self.thresholds, measured.statistic)
        rate = self.thresholds.false_discovery_rate
        if measured.value is None or adjusted is None:
            alert, reason = False, measured.note
        else:
            is_large, is_significant = measured.value >= threshold, adjusted < rate
            alert = is_large and is_significant
            size = f"{measured.value:.3g} {'reaches' if is_large else 'is below'} {threshold:g}"
            chance = f"adjusted p {adjusted:.2g} {'is below' if is_significant else 'is not below'} {rate:g}"
            verdict = {
                (True, True): "drifted",
                (True, False): "may be chance",
                (False, True): "real but too small to matter",
                (False, False): "no drift",
            }[is_large, is_significant]
            reason = f"{verdict}: {size}, {chance}{measured.note}"
        return DriftResult(
            measured.feature,
            measured.statistic,
            measured.value,
            measured.p_value,
            adjusted,
            threshold,
            alert,
            reason,
        )


def alerts(results: Sequence[DriftResult]) -> list[DriftResult]:
    """The results that alert, farthest beyond their threshold first."""
    return sorted(
        (result for result in results if result.alert),
        key=lambda result: (result.value or 0.0) / result.threshold if result.threshold else float("inf"),
        reverse=True,
    )


def _counted(live: Profile | pl.DataFrame | pl.LazyFrame, reference: Profile) -> Iterator[tuple[str, Column]]:
    if isinstance(live, pl.DataFrame):
        return count_columns(live, reference)
    profile = live if isinstance(live, Profile) else Profile.of(live, reference)
    merge(reference.empty(), profile.empty())  # refuses a profile that was counted in another way
    return iter(profile.columns.items())


class _Measured(NamedTuple):
    feature: str
    statistic: Statistic
    value: float | None
    p_value: float | None
    test: str  # results of one feature that share a test count as one in the correction
    note: str = ""


def _measure(name: str, reference: Column, live: Column) -> list[_Measured]:
    is_numeric = isinstance(reference, NumericColumn)
    before, now = reference.frequencies, live.frequencies
    if not before.sum() or not now.sum():
        side = "live data" if before.sum() else "reference"
        kinds: list[Statistic] = ["psi", "jensen_shannon", "kolmogorov_smirnov" if is_numeric else "cramers_v"]
        return [_Measured(name, kind, None, None, "", f"nothing to compare: the {side} has no rows") for kind in kinds]
    test = _statistics.chi_square(before, now)
    rows = [
        _Measured(name, "psi", _statistics.psi(before, now), test.p_value, "chi_square"),
        _Measured(name, "jensen_shannon", _statistics.jensen_shannon(before, now), test.p_value, "chi_square"),
    ]
    if isinstance(reference, NumericColumn) and isinstance(live, NumericColumn):
        return [*rows, _kolmogorov_smirnov(name, reference, live)]
    return [*rows, _Measured(name, "cramers_v", test.cramers_v, test.p_value, "chi_square")]


def _kolmogorov_smirnov(name: str, reference: NumericColumn, live: NumericColumn) -> _Measured:
    statistic: Statistic = "kolmogorov_smirnov"
    if not sum(reference.bins) or not sum(live.bins):
        side = "live data" if sum(reference.bins) else "reference"
        return _Measured(name, statistic, None, None, "", f"nothing to compare: all values of the {side} are missing")
    test = _statistics.kolmogorov_smirnov(reference, live)
    note = "" if test.exact else "; at bin edges, so a lower bound"
    return _Measured(name, statistic, test.statistic, test.p_value, statistic, note)


def _adjust(measured: Sequence[_Measured]) -> list[float | None]:
    """Benjamini-Hochberg over the tests that were made, each counted once however many statistics it stands behind."""
    tests = {(m.feature, m.test): m.p_value for m in measured if m.p_value is not None}
    adjusted = dict(zip(tests, stats.false_discovery_control(list(tests.values())), strict=True)) if tests else {}
    return [None if m.p_value is None else float(adjusted[m.feature, m.test]) for m in measured]
