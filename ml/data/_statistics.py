"""What each column of a frame looks like."""

from typing import Any, Final

import numpy as np
import pandas as pd

from ml.data._schema import whole_numbers
from ml.data.findings import ColumnStatistics, show
from ml.problem import Problem

__all__ = ["describe"]

MOST_BINS: Final = 25


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
        minimum=float(numbers.min()) if len(numbers) else None,
        maximum=float(numbers.max()) if len(numbers) else None,
        mean=float(numbers.mean()) if len(numbers) else None,
        counts=counts,
    )


def _by_code(codes: dict[int, str], numbers: "pd.Series[Any]") -> tuple[tuple[str, int], ...]:
    found = numbers.value_counts()
    unknown = [(f"{code:g} undefined", int(count)) for code, count in found.items() if code not in codes]
    return (*((f"{code} {meaning}", int(found.get(code, 0))) for code, meaning in codes.items()), *unknown[:5])


def _by_bin(numbers: "pd.Series[Any]") -> tuple[tuple[str, int], ...]:
    """Rows per value where there are few values, else per bin of equal width."""
    if numbers.empty:
        return ()
    low, high = float(numbers.min()), float(numbers.max())
    is_whole = bool((numbers % 1 == 0).all())
    width = max(1, int(np.ceil((high - low + 1) / MOST_BINS))) if is_whole else (high - low) / MOST_BINS
    bins = max(1, int(np.ceil((high - low + is_whole) / width)))
    index = np.clip(((numbers.to_numpy(dtype=float) - low) // width).astype(int), 0, bins - 1)
    starts = [low + i * width for i in range(bins)]
    if is_whole:
        labels = [f"{s:.0f}" if width == 1 else f"{s:.0f} to {min(s + width - 1, high):.0f}" for s in starts]
    else:
        labels = [f"{s:.3g} to {s + width:.3g}" for s in starts]
    return tuple(zip(labels, np.bincount(index, minlength=bins).tolist(), strict=True))
