"""What each column of a frame looks like."""

from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd

from ml.data._numbers import whole_numbers
from ml.data.findings import ColumnStatistics, show
from ml.problem import Problem

__all__ = ["describe"]

MOST_BINS: Final = 25
LARGEST_EXACT: Final = 2**53  # of the whole numbers that a float holds without a gap


@np.errstate(over="ignore")
def describe(problem: Problem, frame: pd.DataFrame) -> tuple[ColumnStatistics, ...]:
    """The statistics of every column, in the frame's order; its column names must be unique."""
    return tuple(_describe(problem, column, frame[column]) for column in frame.columns)


def _describe(problem: Problem, column: str, values: "pd.Series[Any]") -> ColumnStatistics:
    features = {feature.name: feature for feature in problem.features}
    titles = {
        problem.identifier: "Identifier",
        problem.time: "Time",
        problem.target.column: "Target",
        **{name: feature.title for name, feature in features.items()},
    }
    feature = features.get(column)
    codes = problem.target.codes if column == problem.target.column else None
    codes = feature.codes if feature is not None and feature.kind == "categorical" else codes
    numbers = pd.to_numeric(values, errors="coerce") if pd.api.types.is_float_dtype(values) else whole_numbers(values)
    numbers = numbers.replace([np.inf, -np.inf], np.nan).dropna()
    kind, counts = "numbers", _by_bin(numbers)
    if codes is not None:
        kind, counts = "codes", _by_code(codes, numbers)
    elif column == problem.identifier:
        kind, counts = "identifier", ()
    return ColumnStatistics(
        name=column,
        title=titles.get(column, ""),
        kind=kind,
        dtype=show(values.dtype),
        nulls=int(values.isna().sum()),
        distinct=int(numbers.nunique()) if len(numbers) else int(values.dropna().map(show).nunique()),
        minimum=_finite(numbers.min()),
        maximum=_finite(numbers.max()),
        mean=_finite(numbers.astype(float).mean()),
        counts=counts,
    )


def _finite(value: Any) -> float | None:
    """None for the NaN of no values and for a sum beyond what a float holds: JSON has neither."""
    return float(value) if np.isfinite(value) else None


def _by_code(codes: dict[int, str], numbers: "pd.Series[Any]") -> tuple[tuple[str, int], ...]:
    found = numbers.value_counts()
    unknown = [(f"{code:g} undefined", int(count)) for code, count in found.items() if code not in codes]
    return (*((f"{code} {meaning}", int(found.get(code, 0))) for code, meaning in codes.items()), *unknown[:5])


def _by_bin(numbers: "pd.Series[Any]") -> tuple[tuple[str, int], ...]:
    """Rows per value where there are few values, else per bin of equal width; nothing where no width is finite."""
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, np.inf)
    span = high - low
    if not np.isfinite(span):
        return ()
    if span < LARGEST_EXACT and bool((numbers % 1 == 0).all()):
        width = int(np.ceil((span + 1) / MOST_BINS))
        edges = low + width * np.arange(int(np.ceil((span + 1) / width)) + 1)
        labels = [f"{s:.0f}" if width == 1 else f"{s:.0f} to {min(s + width - 1, high):.0f}" for s in edges[:-1]]
    else:
        edges = np.linspace(low, high, MOST_BINS + 1 if span else 2)
        labels = [f"{start:.3g} to {end:.3g}" for start, end in pairwise(edges)]
    rows, _ = np.histogram(numbers.to_numpy(dtype=float), edges)
    return tuple(zip(labels, rows.tolist(), strict=True))
