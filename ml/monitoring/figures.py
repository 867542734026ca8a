"""The numbers behind the plots of a monitoring report."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl

from ml.monitoring.profile import CategoricalColumn, Column, NumericColumn, Profile, ValueCounts
from ml.monitoring.report import Window
from ml.problem import Categorical, Problem

__all__ = ["Bar", "CalibrationPoint", "Distribution", "Figures", "Moment", "draw"]

BARS: Final = 16  # of an integer feature
MOMENTS: Final = 48
CALIBRATION_BINS: Final = 10


@dataclass(frozen=True)
class Bar:
    """The share of the reference's and of the live rows with one value, or in one bin."""

    label: str
    reference: float
    live: float


@dataclass(frozen=True)
class Distribution:
    """A feature, or the score, then and now."""

    name: str
    title: str
    bars: tuple[Bar, ...]

    @property
    def largest(self) -> float:
        """The largest share, for the scale."""
        return max((max(bar.reference, bar.live) for bar in self.bars), default=0.0)


@dataclass(frozen=True)
class Moment:
    """A piece of the window: predictions, and their mean score, None where there are none.

    `middle` is where it lies, from 0 at the window's beginning to 1 at its end.
    """

    at: datetime
    middle: float
    rows: int
    mean_score: float | None


@dataclass(frozen=True)
class CalibrationPoint:
    """A tenth of the labelled rows, by score: the mean score, and how many were positive."""

    score: float
    observed: float
    rows: int


@dataclass(frozen=True)
class Figures:
    """Everything that is drawn of one release."""

    distributions: dict[str, Distribution]
    moments: tuple[Moment, ...]
    reference_score: float | None
    calibration: tuple[CalibrationPoint, ...]


def draw(
    problem: Problem, reference: Profile, live: Profile, rows: pl.DataFrame, labelled: pl.DataFrame, window: Window
) -> Figures:
    """The figures of one release; `live` is the profile of `rows`, the window."""
    features = {feature.name: feature for feature in problem.features}
    distributions: dict[str, Distribution] = {}
    for name, column in reference.columns.items():
        feature = features.get(name)
        codes = feature.codes if isinstance(feature, Categorical) else {}
        bars = tuple(bar for bar in _bars(column, live.columns[name], codes) if bar.reference or bar.live)
        distributions[name] = Distribution(name, feature.title if feature else "Score of the model", bars)
    score = reference.columns["score"]
    mean = score.moments.mean if isinstance(score, NumericColumn) else None
    return Figures(distributions, _moments(rows, window), mean, _calibration(labelled, problem))


def _bars(before: Column, now: Column, codes: dict[int, str]) -> Iterator[Bar]:
    if isinstance(before, CategoricalColumn):
        labels = [codes.get(code, str(code)) for code in before.codes] + ["unknown code", "missing"]
        pairs = zip(before.frequencies, now.frequencies, strict=True)
    elif before.values is not None and isinstance(now, NumericColumn) and now.values is not None:
        labels, then, live = _integer_bins(before.values, now.values)
        pairs = zip([*then, before.missing], [*live, now.missing], strict=True)
        labels = [*labels, "missing"]
    else:
        edges = [f"{edge:.2f}" for edge in before.edges]
        inner = [f"{a} to {b}" for a, b in pairwise(edges)]
        labels = [f"below {edges[0]}", *inner, f"above {edges[-1]}", "missing"] if edges else ["any", "missing"]
        pairs = zip(before.frequencies, now.frequencies, strict=True)
    total, live_total = max(1, int(before.frequencies.sum())), max(1, int(now.frequencies.sum()))
    return (Bar(label, int(a) / total, int(b) / live_total) for label, (a, b) in zip(labels, pairs, strict=True))


def _integer_bins(before: ValueCounts, now: ValueCounts) -> tuple[list[str], list[int], list[int]]:
    """Equally wide bins over both: quantile bins are right for a test, and hard to read as a picture."""
    values = np.concatenate([before.values, now.values])
    if not values.size:
        return [], [], []
    low, high = math.floor(values.min()), math.floor(values.max())
    width = max(1, math.ceil((high - low + 1) / BARS))
    edges = np.arange(low, high + width + 1, width)
    names = [str(a) if width == 1 else f"{a} to {a + width - 1}" for a in edges[:-1].tolist()]
    counts = [np.histogram(part.values, edges, weights=part.counts)[0].astype(int).tolist() for part in (before, now)]
    return names, counts[0], counts[1]


def _moments(rows: pl.DataFrame, window: Window) -> tuple[Moment, ...]:
    step = (window.until - window.since) / MOMENTS
    place = ((pl.col("at") - window.since).dt.total_microseconds() // max(1, round(step.total_seconds() * 1e6))).alias(
        "n"
    )
    found = rows.group_by(place).agg(pl.len().alias("rows"), pl.col("score").mean())
    counted = {int(n): (int(count), mean) for n, count, mean in found.iter_rows()}
    return tuple(
        Moment(window.since + n * step, (n + 0.5) / MOMENTS, *counted.get(n, (0, None))) for n in range(MOMENTS)
    )


def _calibration(labelled: pl.DataFrame, problem: Problem) -> tuple[CalibrationPoint, ...]:
    if labelled.height < CALIBRATION_BINS:
        return ()
    place = (pl.int_range(pl.len()) * CALIBRATION_BINS // pl.len()).alias("n")
    positive = (pl.col("label") == problem.target.positive).mean()
    table = labelled.sort("score").group_by(place, maintain_order=True).agg(pl.col("score").mean(), positive, pl.len())
    return tuple(CalibrationPoint(score, observed, count) for _, score, observed, count in table.iter_rows())
