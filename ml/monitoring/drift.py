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

VERDICTS = {  # large enough to matter, too unlikely to be chance
    (True, True): "drifted",
    (True, False): "may be chance",
    (False, True): "real but too small to matter",
    (False, False): "no drift",
}

Statistic = Literal["psi", "jensen_shannon", "kolmogorov_smirnov", "cramers_v"]


class DriftThresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which effect on drift matters, by statistic, and which share of the alerts may be false.

    With fewer than `minimum_rows` on either side a distance is reported and not judged.

    PSI: 0.1 is the customary "some shift", 0.25 "major" (Siddiqi, "Credit Risk Scorecards", 2006). Jensen-Shannon:
    NannyML's default. Cramér's V: Cohen's "small" effect. Kolmogorov-Smirnov: a tenth of the rows have moved.
    """

    psi: float = 0.1
    jensen_shannon: float = 0.1
    kolmogorov_smirnov: float = 0.1
    cramers_v: float = 0.1
    false_discovery_rate: float = 0.05
    minimum_rows: int = 100

    def __post_init__(self) -> None:
        for name in ("psi", "jensen_shannon", "kolmogorov_smirnov", "cramers_v"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"The drift threshold {name} is {getattr(self, name)}; it must be 0 or more.")
        if not 0 < self.false_discovery_rate < 1:
            raise ValueError(f"false_discovery_rate is {self.false_discovery_rate}; it must be between 0 and 1.")
        if self.minimum_rows < 1:
            raise ValueError(f"minimum_rows is {self.minimum_rows}; it must be 1 or more.")


class DriftResult(msgspec.Struct, frozen=True):
    """How far one feature has moved by one statistic.

    `adjusted` is the Benjamini-Hochberg adjusted p-value over all tests of the calculation. The p-values are None where
    there are too few rows to judge, and so is `value` where there are none. `reason` says in words why there is an
    alert or none.
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
        adjusted = self._adjust(measured)
        return tuple(self._judge(m, adjusted.get((m.feature, m.test))) for m in measured)

    def _adjust(self, measured: Sequence["_Measured"]) -> dict[tuple[str, str], float]:
        """Benjamini-Hochberg over the tests, each counted once however many statistics it stands behind."""
        tests = {(m.feature, m.test): m.p_value for m in measured if m.rows >= self.thresholds.minimum_rows}
        return dict(zip(tests, map(float, stats.false_discovery_control(list(tests.values()))), strict=True))

    def _judge(self, measured: "_Measured", adjusted: float | None) -> DriftResult:
        threshold: float = getattr(self.thresholds, measured.statistic)
        feature, statistic, value, note = measured.feature, measured.statistic, measured.value, measured.note
        if value is None:
            return DriftResult(feature, statistic, None, None, None, threshold, False, note)
        if adjusted is None:
            reason = f"too few rows to judge: {measured.rows}, at least {self.thresholds.minimum_rows} are needed{note}"
            return DriftResult(feature, statistic, value, None, None, threshold, False, reason)
        rate = self.thresholds.false_discovery_rate
        is_large, is_significant = value >= threshold, adjusted < rate
        size = f"{value:.3g} {'reaches' if is_large else 'is below'} {threshold:g}"
        chance = f"adjusted p {adjusted:.2g} {'is below' if is_significant else 'is not below'} {rate:g}"
        reason = f"{VERDICTS[is_large, is_significant]}: {size}, {chance}{note}"
        alert = is_large and is_significant
        return DriftResult(feature, statistic, value, measured.p_value, adjusted, threshold, alert, reason)


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
    test: str  # results of one feature that share a test count as one in the correction
    value: float | None
    p_value: float
    rows: int  # of the smaller side
    note: str = ""


def _measure(name: str, reference: Column, live: Column) -> list[_Measured]:
    before, now = reference.frequencies, live.frequencies
    rows, test = int(min(before.sum(), now.sum())), "chi_square"
    last: Statistic = "kolmogorov_smirnov" if isinstance(reference, NumericColumn) else "cramers_v"
    if not rows:
        note = f"nothing to compare: the {'live data' if before.sum() else 'reference'} has no rows"
        kinds: tuple[Statistic, ...] = ("psi", "jensen_shannon", last)
        return [_Measured(name, kind, test, None, 1.0, 0, note) for kind in kinds]
    chi_square = _statistics.chi_square(before, now)
    p_value = chi_square.p_value
    psi = _Measured(name, "psi", test, _statistics.psi(before, now), p_value, rows)
    js = _Measured(name, "jensen_shannon", test, _statistics.jensen_shannon(before, now), p_value, rows)
    if isinstance(reference, NumericColumn) and isinstance(live, NumericColumn):
        return [psi, js, _kolmogorov_smirnov(name, reference, live)]
    return [psi, js, _Measured(name, "cramers_v", test, chi_square.cramers_v, p_value, rows)]


def _kolmogorov_smirnov(name: str, reference: NumericColumn, live: NumericColumn) -> _Measured:
    statistic: Statistic = "kolmogorov_smirnov"
    rows = min(sum(reference.bins), sum(live.bins))
    if not rows:
        note = (
            f"nothing to compare: all values of the {'live data' if sum(reference.bins) else 'reference'} are missing"
        )
        return _Measured(name, statistic, statistic, None, 1.0, 0, note)
    test = _statistics.kolmogorov_smirnov(reference, live)
    note = "" if test.exact else "; at bin edges, so a lower bound"
    return _Measured(name, statistic, statistic, test.statistic, test.p_value, rows, note)
