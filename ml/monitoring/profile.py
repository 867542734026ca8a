"""Profiles: what a table looked like, in a few kilobytes that add up.

A profile holds counts per column. `merge` is associative and commutative and an empty profile is its neutral element,
so partitions, days and Spark executors can each count a part. An empty profile is also the *layout* that says how to
count: both sides of a comparison are counted with the same edges and codes.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce

import msgspec
import numpy as np
import polars as pl

from ml.errors import InputRefused
from ml.monitoring._columns import CategoricalColumn, Column, Moments, NumericColumn, ValueCounts, quantile_edges
from ml.problem import Problem

__all__ = [
    "CategoricalColumn",
    "CategoricalSpec",
    "Moments",
    "NumericColumn",
    "NumericSpec",
    "Profile",
    "ValueCounts",
    "count_columns",
    "merge",
    "reference_profile",
    "specs_of",
]

BINS = 10
BATCH_ROWS = 131_072


class NumericSpec(msgspec.Struct, frozen=True):
    """A numeric column; `exact` keeps every distinct value, which makes its Kolmogorov-Smirnov statistic exact.

    Keep it for columns of few distinct values, such as integers: the profile grows with their number.
    """

    name: str
    exact: bool = False


class CategoricalSpec(msgspec.Struct, frozen=True):
    """A column of known integer codes."""

    name: str
    codes: tuple[int, ...]


class Profile(msgspec.Struct, frozen=True):
    """The counts of a table of `rows` rows, by column."""

    rows: int
    columns: dict[str, Column]

    @classmethod
    def layout(
        cls, reference: pl.DataFrame, specs: Sequence[NumericSpec | CategoricalSpec], bins: int = BINS
    ) -> "Profile":
        """An empty profile whose numeric edges are quantiles of `reference`; InputRefused for a column it lacks."""
        _demand(reference.columns, [spec.name for spec in specs])
        columns: dict[str, Column] = {}
        for spec in specs:
            if isinstance(spec, CategoricalSpec):
                columns[spec.name] = CategoricalColumn.empty(spec.codes)
            else:
                columns[spec.name] = NumericColumn.empty(quantile_edges(reference[spec.name], bins), exact=spec.exact)
        return cls(rows=0, columns=columns)

    @classmethod
    def of(cls, frame: pl.DataFrame | pl.LazyFrame, like: "Profile") -> "Profile":
        """Count `frame` with the edges and codes of `like`; further columns of the frame are ignored.

        A LazyFrame, a scan of parquet files say, is read in batches and never held as a whole.
        InputRefused names the columns that are missing or don't hold numbers.
        """
        if isinstance(frame, pl.LazyFrame):
            _demand(frame.collect_schema().names(), like.columns)
            batches = frame.select(list(like.columns)).collect_batches(chunk_size=BATCH_ROWS)
            return reduce(merge, (cls.of(batch, like) for batch in batches), like.empty())
        return cls(rows=frame.height, columns=dict(count_columns(frame, like)))

    def empty(self) -> "Profile":
        """The layout alone: `merge(profile, profile.empty()) == profile`."""
        return Profile(rows=0, columns={name: column.cleared() for name, column in self.columns.items()})

    def to_json(self) -> bytes:
        """JSON that `from_json` gives back to the last bit."""
        return msgspec.json.encode(self, enc_hook=_encode)

    @classmethod
    def from_json(cls, data: bytes) -> "Profile":
        """The profile that `to_json` wrote; InputRefused says what is wrong with other bytes."""
        try:
            return msgspec.json.decode(data, type=cls, dec_hook=_decode)
        except msgspec.DecodeError as error:
            raise InputRefused(
                f"The reference profile can't be read: {error}. Make it again with this version of the project."
            ) from error


def count_columns(frame: pl.DataFrame, like: Profile) -> Iterator[tuple[str, Column]]:
    """The columns of `Profile.of(frame, like)` one by one: exact counts of all of them need not fit into memory."""
    _demand(frame.columns, like.columns)
    return ((name, column.count(frame[name])) for name, column in like.columns.items())


def merge(a: Profile, b: Profile) -> Profile:
    """The profile of both tables together; InputRefused when they were counted with different edges or codes."""
    if list(a.columns) != list(b.columns):
        different = sorted(a.columns.keys() ^ b.columns.keys())
        raise InputRefused(f"Two profiles of different columns don't merge: {', '.join(different) or 'other order'}.")
    columns: dict[str, Column] = {}
    for name, column in a.columns.items():
        other = b.columns[name]
        if column.cleared() != other.cleared():
            raise InputRefused(f"The profiles of column {name} don't merge: they differ in edges, codes or exactness.")
        columns[name] = column.merge(other)  # pyright: ignore[reportArgumentType] # equal layouts are of one kind
    return Profile(rows=a.rows + b.rows, columns=columns)


def specs_of(problem: Problem, score_column: str) -> list[NumericSpec | CategoricalSpec]:
    """How to profile the problem's features and the model's score: integer features exactly, the score by bins."""
    specs: list[NumericSpec | CategoricalSpec] = [
        NumericSpec(feature.name, exact=True)
        if feature.kind == "numeric"
        else CategoricalSpec(feature.name, tuple(sorted(feature.codes)))
        for feature in problem.features
    ]
    return [*specs, NumericSpec(score_column)]


def reference_profile(reference: pl.DataFrame, problem: Problem, score_column: str) -> Profile:
    """The profile that goes into a release: of the reference rows, with edges taken from themselves."""
    return Profile.of(reference, Profile.layout(reference, specs_of(problem, score_column)))


def _demand(present: Iterable[str], wanted: Iterable[str]) -> None:
    if missing := sorted(set(wanted) - set(present)):
        raise InputRefused(f"The table lacks {len(missing)} columns that are to be profiled: {', '.join(missing)}.")


def _encode(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise NotImplementedError(type(value))


def _decode(kind: type, value: object) -> object:
    if kind is np.ndarray:
        return np.asarray(value)
    raise NotImplementedError(kind)
