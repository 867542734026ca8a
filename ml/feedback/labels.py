"""Labels that arrive late, joined to the predictions they are about.

In the store, all parquet:

    labels/day=YYYY-MM-DD/<batch>.parquet            what counts, by the day it arrived
    labels/rejected/day=YYYY-MM-DD/<batch>.parquet   what does not, with the reason
    labels/files/<sha256>.json                       which files and requests were taken in already, with their counts

Which label of a prediction holds: an expert's review before any other, the latest review before earlier ones; of the
labels from files and requests the first, for one that contradicts it is kept aside as conflicting when it arrives.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal, cast

import polars as pl
import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict

from ml.feedback._incoming import TIME, Incoming
from ml.feedback._tables import parquet, read_all, read_table
from ml.predictions import read_log
from ml.problem import Problem
from ml.store import Store

__all__ = [
    "FILES",
    "LABELS",
    "MEANINGS",
    "REJECTED",
    "REVIEW",
    "SCHEMA",
    "LabelReport",
    "Reason",
    "add_labels",
    "joined",
    "live_predictions",
    "read_labels",
]

LABELS: Final = "labels"
REJECTED: Final = "labels/rejected"
FILES: Final = "labels/files"
REVIEW: Final = "review"
EXAMPLES: Final = 3
CLOCK_SKEW: Final = timedelta(minutes=5)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ALWAYS: Final = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))

SCHEMA: Final = pl.Schema(
    {
        "prediction_id": pl.String,
        "label": pl.Int32,
        "source": pl.String,
        "author": pl.String,
        "note": pl.String,
        "at": TIME,  # when it became known, as its source says
        "arrived_at": TIME,
    }
)
REJECTED_COLUMNS: Final = ("prediction_id", "label", "reason", "source", "author", "at", "arrived_at")

Reason = Literal["no-id", "invalid-code", "invalid-time", "unknown", "ambiguous", "conflicting", "doubled"]
MEANINGS: Final[Mapping[Reason, str]] = {
    "no-id": "names no prediction",
    "invalid-code": "is no code of the target",
    "invalid-time": "has a time that can't be read, or that is yet to come",
    "unknown": "names a prediction that isn't in the log",
    "ambiguous": "names several predictions, which share an identifier",
    "conflicting": "contradicts a label of the same prediction",
    "doubled": "repeats a label that is there",
}


class LabelReport(BaseModel):
    """What became of a file or request: rows accepted, rejected by reason, and where the rejected ones are kept.

    `examples` are the first few of each reason; `is_new` is False for bytes that were taken in before.
    """

    model_config = ConfigDict(frozen=True)

    digest: str
    rows: int
    accepted: int
    rejected: dict[Reason, int]
    kept_in: str | None
    examples: dict[Reason, list[str]]
    is_new: bool


class _Marker(BaseModel):
    """Names no prediction: it outlives the erasure of the people whose labels the file held."""

    at: AwareDatetime
    rows: int = 0
    accepted: int = 0
    rejected: dict[Reason, int] | None = None  # None: the first attempt was cut short


@dataclass(frozen=True)
class _Batch:
    """Where one file's or request's rows go."""

    accepted: str
    rejected: str

    @classmethod
    def of(cls, digest: str, day: date) -> "_Batch":
        name = f"day={day.isoformat()}/{uuid.uuid5(uuid.NAMESPACE_OID, digest)}.parquet"
        return cls(f"{LABELS}/{name}", f"{REJECTED}/{name}")


def add_labels(
    store: Store, problem: Problem, incoming: Incoming, source: Literal["file", "api"], author: str, now: datetime
) -> LabelReport:
    """Take in labels; safe to repeat: the same bytes are taken in once, also after a kill in the middle."""
    key = f"{FILES}/{incoming.digest}.json"
    marker = _started(store, key, now)
    batch = _Batch.of(incoming.digest, marker.at.date())
    is_new = marker.rejected is None
    if is_new:
        # An attempt that was cut short may have left these very labels: they must not count as there already.
        labelled = read_labels(store, without=batch.accepted)
        judged = _judge(problem, incoming.rows, _known(store, problem), labelled, now).with_columns(
            pl.lit(source).alias("source"),
            pl.lit(author).alias("author"),
            pl.lit(None, pl.String).alias("note"),
            pl.col("at").fill_null(marker.at),
            pl.lit(marker.at, TIME).alias("arrived_at"),
        )
        marker = _keep(store, judged, batch, marker.at)
        store.write(key, marker.model_dump_json().encode())
    return LabelReport(
        digest=f"sha256:{incoming.digest}",
        rows=marker.rows,
        accepted=marker.accepted,
        rejected=marker.rejected or {},
        kept_in=batch.rejected if store.exists(batch.rejected) else None,
        examples=_examples(store, batch.rejected),
        is_new=is_new,
    )


def read_labels(store: Store, since: date | None = None, *, without: str | None = None) -> pl.DataFrame:
    """The label that holds for each prediction, of those that arrived on `since` or later, as SCHEMA.

    The object `without` is left out.
    """
    labels = read_all(store, LABELS, SCHEMA, since, without=without)
    reviews = labels.filter(source=REVIEW).sort("at", descending=True)
    others = labels.filter(pl.col("source") != REVIEW).sort("arrived_at", "label")
    return pl.concat([reviews, others]).unique("prediction_id", keep="first", maintain_order=True)


def live_predictions(
    store: Store, problem: Problem, since: datetime, until: datetime, columns: list[str] | None = None
) -> pl.DataFrame:
    """The predictions logged in [since, until), in order of time, without shadow answers, which nobody was given."""
    wanted = None if columns is None else [*columns, "role"]
    log = cast(pl.DataFrame, pl.from_arrow(read_log(store, problem, since, until, wanted)))
    return log.filter(pl.col("role") != "shadow")


def joined(store: Store, problem: Problem, since: datetime, until: datetime) -> pa.Table:
    """The predictions logged in [since, until) whose label is known, in order of time.

    The log's columns and `label`, `label_source`, `labelled_at`, `label_arrived_at`. Shadow answers and identifiers
    that several predictions share are left out.
    """
    labels = read_labels(store, (since - CLOCK_SKEW).date()).select(
        "prediction_id",
        "label",
        pl.col("source").alias("label_source"),
        pl.col("at").alias("labelled_at"),
        pl.col("arrived_at").alias("label_arrived_at"),
    )
    predictions = live_predictions(store, problem, since, until).filter(pl.col("prediction_id").is_unique())
    return predictions.join(labels, on="prediction_id", how="inner", maintain_order="left").to_arrow()


def _started(store: Store, key: str, now: datetime) -> _Marker:
    """The marker of these bytes: the first attempt says when they arrived, the others go on from it."""
    marker = _Marker(at=now)
    try:
        store.create(key, marker.model_dump_json().encode())
    except FileExistsError:
        return _Marker.model_validate_json(store.read(key))
    return marker


def _known(store: Store, problem: Problem) -> pl.DataFrame:
    """Every prediction's identifier, and how many predictions have it."""
    return live_predictions(store, problem, *ALWAYS, columns=["prediction_id"]).group_by("prediction_id").len("named")


def _judge(
    problem: Problem, rows: pl.DataFrame, known: pl.DataFrame, labelled: pl.DataFrame, now: datetime
) -> pl.DataFrame:
    """The rows with `code`, the label as a code of the target, and `reason`: why a row is rejected, else null."""
    codes = {str(code): code for code in problem.target.codes}
    # A parquet column of numbers says 1.0 where 1 is meant, once a null was in it.
    text = pl.col("label").str.replace(r"\.0+$", "")
    there = labelled.select("prediction_id", pl.col("label").alias("there"))
    rows = (
        rows.with_row_index()
        .with_columns(text.replace_strict(codes, default=None, return_dtype=pl.Int32).alias("code"))
        .join(known, on="prediction_id", how="left", maintain_order="left")
        .join(there, on="prediction_id", how="left", maintain_order="left")
    )
    # Of a file's rows only those that name a prediction and a code can contradict or repeat one another.
    valid = pl.col("prediction_id").is_not_null() & pl.col("code").is_not_null()
    alike = (
        rows.filter(valid)
        .group_by("prediction_id")
        .agg(pl.col("code").n_unique().alias("codes"), pl.col("index").min().alias("first"))
    )
    rows = rows.join(alike, on="prediction_id", how="left", maintain_order="left")
    held: dict[Reason, pl.Expr] = {
        "no-id": pl.col("prediction_id").is_null(),
        "invalid-code": pl.col("code").is_null(),
        "invalid-time": pl.col("bad_time") | (pl.col("at") > now + CLOCK_SKEW) | (pl.col("at") < EPOCH),
        "unknown": pl.col("named").is_null(),
        "ambiguous": pl.col("named") > 1,
        "conflicting": (pl.col("codes") > 1) | (pl.col("there") != pl.col("code")),
        "doubled": (pl.col("index") != pl.col("first")) | (pl.col("there") == pl.col("code")),
    }
    reasons = [pl.when(holds).then(pl.lit(reason)) for reason, holds in held.items()]
    return rows.with_columns(pl.coalesce(reasons).alias("reason"))


def _keep(store: Store, judged: pl.DataFrame, batch: _Batch, at: datetime) -> _Marker:
    good = judged.filter(pl.col("reason").is_null()).drop("label").rename({"code": "label"})
    bad = judged.filter(pl.col("reason").is_not_null())
    # What was rejected first: a kill between the two leaves nothing accepted whose rejected neighbours are unknown.
    if not bad.is_empty():
        store.write(batch.rejected, parquet(bad.select(REJECTED_COLUMNS)))
    if not good.is_empty():
        store.write(batch.accepted, parquet(good.select(SCHEMA.names())))
    counts = dict(bad["reason"].value_counts().iter_rows())
    rejected: dict[Reason, int] = {reason: int(counts[reason]) for reason in MEANINGS if reason in counts}
    return _Marker(at=at, rows=len(judged), accepted=len(good), rejected=rejected)


def _examples(store: Store, key: str) -> dict[Reason, list[str]]:
    if not store.exists(key):
        return {}
    rows = read_table(store, key).group_by("reason", maintain_order=True).head(EXAMPLES)
    found: dict[Reason, list[str]] = {}
    for reason, prediction_id, label in rows.select("reason", "prediction_id", "label").iter_rows():
        found.setdefault(reason, []).append(f"{prediction_id or '(none)'} = {label or '(none)'}")
    return found
