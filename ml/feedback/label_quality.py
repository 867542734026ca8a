"""Labels that contradict what the champion knows: looked at by a person before anything is learned from them.

Of calibrated scores the labels' slope is 1: where the score is 0.1 higher, 0.1 more of the labels are positive. Labels
at random, or all alike, have the slope 0, labels the wrong way round -1; where a share q of the labels is at random it
is 1 - q (Cox, "Two further applications of a model for binary regression", 1958, for the slope as a check). A changed
world lowers it too: which of the two it is, a person must say.

Each delivery is judged by itself, for a bad one would hide among good ones: a file, or a day's labels by the API. The
labels of experts are left out, who are given the cases of which the model is in doubt.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

import polars as pl
from scipy import stats

from ml.feedback.labels import REVIEW
from ml.problem import Problem

__all__ = ["Believed", "believed"]

SMALLEST_SLOPE: Final = 0.5  # less, and most of what the scores tell apart is not in the labels


@dataclass(frozen=True)
class Believed:
    """The labelled predictions that may be learned from and compared on, and why each of the others may not."""

    labelled: pl.DataFrame
    doubts: tuple[str, ...]


def believed(problem: Problem, labelled: pl.DataFrame) -> Believed:
    """Leave out the deliveries whose labels have a slope that is below a half for certain, or may be chance.

    The second is so where the scores are alike, or nearly: labels at random would look the same. Deliveries of fewer
    rows than `monitoring.performance.minimum_rows` are judged together; fewer than that in all can't be judged and
    stay: so few can't be compared on either.
    """
    rules = problem.monitoring
    day = pl.col("label_arrived_at").dt.truncate("1d")
    delivery = pl.when(pl.col("label_source") == "file").then(pl.col("label_arrived_at")).otherwise(day)
    rows = labelled.with_row_index("row").filter(pl.col("label_source") != REVIEW)
    rows = rows.with_columns(delivery.alias("delivery"), pl.len().over("label_source", delivery).alias("size"))
    small = pl.col("size") < rules.performance.minimum_rows
    rows = rows.with_columns(pl.when(~small).then(pl.col("delivery")), pl.when(~small).then(pl.col("label_source")))
    left_out: list[int] = []
    doubts: list[str] = []
    for _, part in rows.group_by("label_source", "delivery", maintain_order=True):
        positive = (part["label"] == problem.target.positive).cast(pl.Float64)
        if len(part) >= rules.performance.minimum_rows and (
            doubt := _doubt(*_slope(part["score"], positive, rules.confidence))
        ):
            left_out += part["row"].to_list()
            doubts.append(f"{_came(part)} {doubt}")
    return Believed(labelled.filter(~pl.int_range(pl.len()).is_in(left_out)), tuple(doubts))


def _slope(scores: pl.Series, positive: pl.Series, confidence: float) -> tuple[float, float]:
    """The slope of the labels over the scores, and how far its interval goes to either side; any, for scores all alike.

    The error is that of White (1980), which holds for labels of 0 and 1.
    """
    x = scores.cast(pl.Float64).to_numpy() - scores.mean()  # pyright: ignore[reportOperatorIssue] # a number: no scores are no part
    y = positive.to_numpy() - positive.to_numpy().mean()
    spread = float(x @ x)
    if spread <= 1e-9 * len(x):
        return 0.0, inf
    slope = float(x @ y) / spread
    error = float(((x * (y - slope * x)) ** 2).sum()) ** 0.5 / spread
    return slope, float(stats.norm.ppf((1 + confidence) / 2)) * error


def _doubt(slope: float, margin: float) -> str | None:
    if slope + margin < SMALLEST_SLOPE:
        return (
            f"contradict the champion's scores: their slope is {slope:.2f}, 1 is expected and less than "
            f"{SMALLEST_SLOPE:g} is not believed"
        )
    if slope - margin <= 0:
        return "can't be judged: their scores are so much alike that labels at random would look the same"
    return None


def _came(part: pl.DataFrame) -> str:
    source, at = part["label_source"][0], part["label_arrived_at"].min()
    came = "in small deliveries" if source is None else f"by {source}, {at:%Y-%m-%d %H:%M} UTC"
    return f"{len(part):,} labels that came {came}"
