"""Which predictions an expert should look at, and why."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from ml.problem import Numeric, Problem

__all__ = ["WHY", "TrainingRange", "Why", "select"]

Why = Literal["sample", "out_of_range", "low_confidence"]
# In the order in which they get a place: the sample must stay one, whatever else there is.
WHY: Final[Mapping[Why, str]] = {
    "sample": "Drawn at random",
    "out_of_range": "Outside what the model was trained on",
    "low_confidence": "Close to the threshold",
}


@dataclass(frozen=True)
class TrainingRange:
    """What a release saw in training: the least and the greatest value of a number, every code of a category."""

    bounds: Mapping[str, tuple[int, int]]
    codes: Mapping[str, frozenset[int]]

    @classmethod
    def of(cls, problem: Problem, reference: pl.DataFrame) -> "TrainingRange":
        """The range of a release's reference rows."""
        bounds: dict[str, tuple[int, int]] = {}
        codes: dict[str, frozenset[int]] = {}
        for feature in problem.features:
            seen = [int(value) for value in reference[feature.name].drop_nulls().unique().to_list()]
            if isinstance(feature, Numeric):
                bounds[feature.name] = (min(seen, default=feature.minimum), max(seen, default=feature.maximum))
            else:
                codes[feature.name] = frozenset(seen)
        return cls(bounds, codes)

    def outside(self) -> pl.Expr:
        """The features of a row that lie outside, as a list of names; what was not logged does not."""
        tests = [(name, ~pl.col(name).is_between(low, high)) for name, (low, high) in self.bounds.items()]
        tests += [(name, ~pl.col(name).is_in(sorted(codes))) for name, codes in self.codes.items()]
        return pl.concat_list([pl.when(test).then(pl.lit(name)) for name, test in tests]).list.drop_nulls()


def select(problem: Problem, predictions: pl.DataFrame, ranges: Mapping[str, TrainingRange]) -> pl.DataFrame:
    """The predictions to review, the most important first, with `why` (a list) and `outside` (names of features).

    `ranges` is by release; of a release that it doesn't have nothing is out of range.
    """
    nothing = pl.lit([], pl.List(pl.String)).alias("outside")
    parts = [
        part.with_columns(ranges[release].outside().alias("outside") if release in ranges else nothing)
        for (release,), part in predictions.partition_by("release", as_dict=True).items()
    ] or [predictions.with_columns(nothing)]
    distance = (pl.col("score") - pl.col("threshold")).abs()
    held: Mapping[Why, pl.Expr] = {
        "sample": pl.col("draw") < problem.review.sample_fraction,
        "out_of_range": pl.col("outside").list.len() > 0,
        "low_confidence": distance <= problem.review.margin,
    }
    table = pl.concat(parts).with_columns(_draws(problem, parts).alias("draw"), distance.alias("distance"))
    table = table.with_columns(
        pl.concat_list([pl.when(held[why]).then(pl.lit(why)) for why in WHY]).list.drop_nulls().alias("why")
    ).filter(pl.col("why").list.len() > 0)
    first = pl.col("why").list.first().replace_strict({why: place for place, why in enumerate(WHY)})
    return table.sort(first, "distance", "prediction_id").drop("draw", "distance")


def _draws(problem: Problem, parts: list[pl.DataFrame]) -> pl.Series:
    """A number in [0, 1) for each prediction, from its identifier and the problem's seed alone.

    Whoever selects, when and from which window, draws the same predictions; a library's random stream or hash
    would change with its version.
    """
    seed = f"{problem.split.seed}:".encode()
    ids = [name for part in parts for name in part["prediction_id"]]
    draws = [int.from_bytes(hashlib.sha256(seed + name.encode()).digest()[:8]) / 2**64 for name in ids]
    return pl.Series("draw", draws, pl.Float64)
