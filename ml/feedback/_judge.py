"""What becomes of each row of labels that came in: whether it may ever count, whether it does, and why not."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import polars as pl

from ml.erasures import prediction_digest
from ml.problem import Problem

__all__ = ["CLOCK_SKEW", "MEANINGS", "Reason", "holding", "judged", "well_formed"]

CLOCK_SKEW: Final = timedelta(minutes=5)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Reason = Literal["no-id", "invalid-code", "invalid-time", "erased", "ambiguous", "conflicting", "doubled"]
MEANINGS: Final[Mapping[Reason, str]] = {
    "no-id": "names no prediction",
    "invalid-code": "is no code of the target",
    "invalid-time": "has a time that can't be read, or that is yet to come",
    "erased": "names a prediction of a person who was erased since; it is not kept",
    "ambiguous": "names several predictions, which share an identifier",
    "conflicting": "contradicts a label of the same prediction",
    "doubled": "repeats a label that is there",
}


def well_formed(problem: Problem, rows: pl.DataFrame, arrived_at: datetime) -> pl.DataFrame:
    """The rows with `code`, the label as a code of the target, and `reason`, null where nothing is wrong with them.

    It takes the file alone to tell, so that whoever reads the same bytes says the same.
    """
    codes = {str(code): code for code in problem.target.codes}
    code = pl.col("label").replace_strict(codes, default=None, return_dtype=pl.Int32)
    rows = rows.with_row_index().with_columns(code.alias("code"))
    # Only rows that name a prediction and a code can contradict or repeat one another.
    valid = pl.col("prediction_id").is_not_null() & pl.col("code").is_not_null()
    alike = (
        rows.filter(valid)
        .group_by("prediction_id")
        .agg(pl.col("code").n_unique().alias("codes"), pl.col("index").min().alias("first"))
    )
    rows = rows.join(alike, on="prediction_id", how="left", maintain_order="left")
    return (
        _with_reason(
            rows,
            {
                "no-id": pl.col("prediction_id").is_null(),
                "invalid-code": pl.col("code").is_null(),
                "invalid-time": pl.col("bad_time") | (pl.col("at") > arrived_at + CLOCK_SKEW) | (pl.col("at") < EPOCH),
                "conflicting": pl.col("codes") > 1,
                "doubled": pl.col("index") != pl.col("first"),
            },
        )
        .drop("index", "codes", "first")
        .with_columns(pl.col("reason").is_null().alias("is_well_formed"))
    )


def holding(facts: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """The first of the `facts` that may be about each prediction of `made` (prediction_id, made_at), or about none yet.

    A label that arrived before a prediction was made is about another that had its identifier.
    """
    known = facts.join(made, on="prediction_id", how="left", maintain_order="left")
    may_be = pl.col("made_at").is_null() | (pl.col("arrived_at") + CLOCK_SKEW >= pl.col("made_at"))
    return known.filter(may_be).unique("prediction_id", keep="first", maintain_order=True)


def judged(
    rows: pl.DataFrame,
    facts: pl.DataFrame,
    made: pl.DataFrame,
    erased: frozenset[str],
    own: tuple[str, ...],
) -> pl.DataFrame:
    """The rows of `well_formed` with what the store says: `reason`, and `is_known`, whether their prediction is there.

    `facts` are labels with their `batch`, in order of precedence, of which the batches `own` hold these rows; `made`
    is every prediction (prediction_id, made_at, named: how many have the identifier).
    """
    held = holding(facts, made).select("prediction_id", pl.col("label").alias("held"), pl.col("batch").alias("holder"))
    rows = rows.join(made, on="prediction_id", how="left", maintain_order="left").join(
        held, on="prediction_id", how="left", maintain_order="left"
    )
    is_erased = pl.Series([bool(erased) and prediction_digest(name or "") in erased for name in rows["prediction_id"]])
    is_others = pl.col("holder").is_not_null() & ~pl.col("holder").is_in(own)
    rows = _with_reason(
        rows,
        {
            "erased": pl.lit(is_erased),
            "ambiguous": pl.col("named") > 1,
            "conflicting": is_others & (pl.col("held") != pl.col("code")),
            "doubled": is_others & (pl.col("held") == pl.col("code")),
        },
    )
    return rows.with_columns((pl.col("named").is_not_null() & pl.col("holder").is_not_null()).alias("is_known"))


def _with_reason(rows: pl.DataFrame, holds: dict[Reason, pl.Expr]) -> pl.DataFrame:
    first = [pl.col("reason")] if "reason" in rows.columns else []
    reasons = [pl.when(is_so).then(pl.lit(reason)) for reason, is_so in holds.items()]
    return rows.with_columns(pl.coalesce([*first, *reasons]).alias("reason"))
