"""The counts of one column: how they are taken, added up and compared bin by bin."""

import math
from typing import Any, Self

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml.errors import InputRefused

__all__ = ["CategoricalColumn", "Column", "Moments", "NumericColumn", "ValueCounts", "quantile_edges"]


class Moments(msgspec.Struct, frozen=True):
    """Count, mean, sum of squared deviations `m2`, minimum and maximum; None where there is no such (finite) number.

    Merged as in Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
    (1979): numerically stable, associative up to rounding.
    """

    count: int = 0
    mean: float | None = None
    m2: float | None = None
    minimum: float | None = None
    maximum: float | None = None

    @property
    def standard_deviation(self) -> float | None:
        """Of the values themselves, not of a population they were drawn from."""
        return None if self.m2 is None else math.sqrt(self.m2 / self.count)

    def merge(self, other: Self) -> Self:
        """The moments of both sets of values together."""
        if not self.count or not other.count:
            return self if self.count else other
        count, mean, m2 = self.count + other.count, None, None
        if self.mean is not None and other.mean is not None:
            mean = _finite_or_none((self.count * self.mean + other.count * other.mean) / count)
            if self.m2 is not None and other.m2 is not None:
                distance = self.mean - other.mean
                between = (
                    distance * distance * (self.count * other.count) / count
                )  # so bracketed, commutative to the bit
                m2 = _finite_or_none(self.m2 + other.m2 + between)
        extremes = [v for v in (self.minimum, self.maximum, other.minimum, other.maximum) if v is not None]
        return type(self)(count, mean, m2, min(extremes), max(extremes))


class ValueCounts(msgspec.Struct, frozen=True, eq=False):
    """The distinct values in order (float64) and how often each occurs (int64): a sorted sample without repetition."""

    values: np.ndarray
    counts: np.ndarray

    def __post_init__(self) -> None:
        # Lists that come from JSON may be empty, and an empty list has no type.
        msgspec.structs.force_setattr(self, "values", np.asarray(self.values, dtype=np.float64))
        msgspec.structs.force_setattr(self, "counts", np.asarray(self.counts, dtype=np.int64))
        if self.values.shape != self.counts.shape or self.values.ndim != 1:
            raise ValueError("value counts need one count for each value")

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ValueCounts)
            and np.array_equal(self.values, other.values)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # pyright: ignore[reportAssignmentType] # arrays are compared, never hashed

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Self:
        """Count finite values, in any order."""
        return cls(*np.unique(values, return_counts=True))

    def repeated(self) -> NDArray[np.float64]:
        """The sorted sample itself."""
        return np.repeat(self.values, self.counts)

    def merge(self, other: Self) -> Self:
        """The counts of both sets of values together."""
        values = np.concatenate([self.values, other.values])
        if not values.size:
            return self
        order = np.argsort(values, kind="stable")  # two sorted runs: a merge, not a sort
        values, counts = values[order], np.concatenate([self.counts, other.counts])[order]
        starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        return type(self)(values[starts], np.add.reduceat(counts, starts))


class NumericColumn(msgspec.Struct, frozen=True, tag="numeric"):
    """Counts below, between and above the edges e0 < e1 < … < ek: x < e0, e0 <= x < e1, …, e(k-1) <= x <= ek, ek < x.

    The last edge may be given twice, for a bin of the largest value alone. `missing` counts nulls, NaN and infinities:
    everything that is not a number to compare. `values` is None unless the column is kept exactly.
    """

    edges: tuple[float, ...]
    bins: tuple[int, ...]
    missing: int
    moments: Moments
    values: ValueCounts | None = None

    def __post_init__(self) -> None:
        if len(self.bins) != len(self.edges) + 1:
            raise ValueError("a numeric column needs one bin more than it has edges")

    @classmethod
    def empty(cls, edges: tuple[float, ...], *, exact: bool) -> Self:
        """Nothing counted yet."""
        values = ValueCounts.of(np.empty(0)) if exact else None
        return cls(edges, (0,) * (len(edges) + 1), 0, Moments(), values)

    def cleared(self) -> Self:
        """The same layout, with nothing counted."""
        return self.empty(self.edges, exact=self.values is not None)

    def count(self, series: pl.Series) -> Self:
        """Count a series of any number type with this column's edges."""
        values = _numbers(series).cast(pl.Float64)
        x = pl.col(series.name)
        # A comparison and a sum per edge are vectorised and need no memory: 10 times faster than cutting or searching.
        below = [(x < edge).sum() for edge in self.edges[:-1]] + [(x <= edge).sum() for edge in self.edges[-1:]]
        named = [expression.alias(str(i)) for i, expression in enumerate([*below, *_moments(x)])]
        *cumulative, mean, variance, minimum, maximum = values.to_frame().select(named).row(0)
        m2 = None if variance is None else _finite_or_none(variance * len(values))
        moments = Moments(len(values), _finite_or_none(mean), m2, minimum, maximum) if len(values) else Moments()
        return type(self)(
            edges=self.edges,
            bins=tuple(np.diff([0, *cumulative, len(values)]).tolist()),
            missing=len(series) - len(values),
            moments=moments,
            values=None if self.values is None else ValueCounts.of(values.to_numpy()),
        )

    def merge(self, other: Self) -> Self:
        """The counts of both; the layouts must be equal."""
        values = self.values.merge(other.values) if self.values is not None and other.values is not None else None
        bins, missing = _add(self.bins, other.bins), self.missing + other.missing
        return type(self)(self.edges, bins, missing, self.moments.merge(other.moments), values)

    @property
    def frequencies(self) -> NDArray[np.int64]:
        """The counts that are compared between two tables: under, bins, over, missing."""
        return np.array([*self.bins, self.missing], dtype=np.int64)


class CategoricalColumn(msgspec.Struct, frozen=True, tag="categorical"):
    """How often each known code occurs, how often any other value, and how often none (null, NaN or infinite)."""

    codes: tuple[int, ...]
    counts: tuple[int, ...]
    unknown: int
    missing: int

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.codes):
            raise ValueError("a categorical column needs one count for each code")

    @classmethod
    def empty(cls, codes: tuple[int, ...]) -> Self:
        """Nothing counted yet."""
        return cls(codes, (0,) * len(codes), 0, 0)

    def cleared(self) -> Self:
        """The same layout, with nothing counted."""
        return self.empty(self.codes)

    def count(self, series: pl.Series) -> Self:
        """Count a series of any number type; a value between two codes is an unknown one."""
        values = _numbers(series)
        x = pl.col(series.name)
        counts = values.to_frame().select((x == code).sum().alias(str(code)) for code in self.codes).row(0)
        return type(self)(self.codes, tuple(counts), len(values) - sum(counts), len(series) - len(values))

    def merge(self, other: Self) -> Self:
        """The counts of both; the layouts must be equal."""
        unknown, missing = self.unknown + other.unknown, self.missing + other.missing
        return type(self)(self.codes, _add(self.counts, other.counts), unknown, missing)

    @property
    def frequencies(self) -> NDArray[np.int64]:
        """The counts that are compared between two tables: codes, unknown, missing."""
        return np.array([*self.counts, self.unknown, self.missing], dtype=np.int64)


Column = NumericColumn | CategoricalColumn


def quantile_edges(reference: pl.Series, bins: int) -> tuple[float, ...]:
    """Edges of at most `bins` bins of about equal counts; a value that fills several of them gets one of its own.

    Without that, a column that is 0 in most rows would be a single bin, and blind. No values, no edges.
    """
    values = _numbers(reference).cast(pl.Float64).to_numpy()
    if not values.size:
        return ()
    edges, repeated = np.unique(
        np.quantile(values, np.linspace(0, 1, bins + 1), method="inverted_cdf"), return_counts=True
    )
    heavy = edges[repeated > 1]
    last = edges[-1]
    own_bin_ends = np.nextafter(heavy[heavy < last], np.inf)
    # The largest value's own bin is closed by naming its edge twice; so is a constant column's only one.
    return tuple(np.sort(np.concatenate([edges, own_bin_ends, heavy[heavy == last]])).tolist())


def _numbers(series: pl.Series) -> pl.Series:
    """The values without nulls, NaN and infinities; InputRefused when the column doesn't hold numbers."""
    dtype = series.dtype
    if dtype == pl.Null:
        return series.cast(pl.Float64).drop_nulls()
    if dtype == pl.Boolean:
        return series.cast(pl.Int8).drop_nulls()
    if not dtype.is_numeric():
        raise InputRefused(
            f"Column {series.name} holds {dtype} where numbers are profiled ({len(series)} rows). "
            "Convert it as the training data was."
        )
    if not dtype.is_float():
        return series.drop_nulls() if series.null_count() else series
    usable = series.is_finite()
    return series if not series.null_count() and usable.all() else series.filter(usable)


def _moments(x: pl.Expr) -> list[pl.Expr]:
    return [x.mean(), x.var(ddof=0), x.min(), x.max()]


def _add(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(m + n for m, n in zip(a, b, strict=True))


def _finite_or_none(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
