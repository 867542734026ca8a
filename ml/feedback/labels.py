"""Labels that arrive late, joined to the predictions they are about.

In the store, all parquet:

    labels/day=YYYY-MM-DD/<batch>.parquet            every label that may count, by the day it arrived
    labels/rejected/day=YYYY-MM-DD/<batch>.parquet   what didn't count when it arrived, with the reason
    labels/files/<sha256>.json                       which files and requests were taken in already, as which batches

A label is kept whether or not its prediction is in the log yet: the two are joined when they are read, so that none is
lost in whatever order they arrive. Which label of a prediction holds: an expert's review before any other, the latest
review before earlier ones; of the labels from files and requests the first.
"""

import uuid
from datetime import UTC, date, datetime
from typing import Final, Literal, cast

import polars as pl
import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict

from ml.erasures import erased_predictions, prediction_digest
from ml.feedback._incoming import TIME, Incoming
from ml.feedback._judge import CLOCK_SKEW, MEANINGS, Reason, holding, judged, well_formed
from ml.feedback._tables import parquet, read_all
from ml.predictions import read_log
from ml.problem import Problem
from ml.store import Store

__all__ = [
    "CLOCK_SKEW",
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
    "latest_arrivals",
    "live_predictions",
    "read_labels",
]

LABELS: Final = "labels"
REJECTED: Final = "labels/rejected"
FILES: Final = "labels/files"
REVIEW: Final = "review"
EXAMPLES: Final = 3
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
# As SCHEMA, with why a label didn't count when it arrived. It may yet: what it contradicted may prove to be of another.
STORED: Final = pl.Schema({**SCHEMA, "reason": pl.String})


class LabelReport(BaseModel):
    """What became of a file or request: rows that count now (accepted), that wait for their prediction, that don't.

    Rejected rows are counted by reason and kept in `kept_in`; `examples` are the first few that wait and of each
    reason. `is_new` is False when nothing of it was taken in that wasn't there before.
    """

    model_config = ConfigDict(frozen=True)

    digest: str
    rows: int
    accepted: int
    waiting: int
    rejected: dict[Reason, int]
    kept_in: str | None
    examples: dict[str, list[str]]
    is_new: bool


class _Marker(BaseModel):
    """When these bytes arrived, and the label batches they became; it names no prediction, and outlives an erasure."""

    at: AwareDatetime
    batches: tuple[str, ...] = ()
    is_done: bool = False  # the newest arrival is written down as a whole


def add_labels(
    store: Store, problem: Problem, incoming: Incoming, source: Literal["file", "api"], author: str, now: datetime
) -> LabelReport:
    """Take in labels; safe to repeat: the same bytes are taken in once, also after a kill in the middle.

    Given again, they arrive again if any of them is about nothing that is held: its prediction was made after it
    arrived, or it was deleted with its day.
    """
    key = f"{FILES}/{incoming.digest}.json"
    marker = _started(store, key, now)
    made, erased = _made(store, problem), erased_predictions(store)
    facts = read_all(store, LABELS, STORED)

    def judge(at: datetime, batches: tuple[str, ...], facts: pl.DataFrame) -> pl.DataFrame:
        return judged(well_formed(problem, incoming.rows, at), _ordered(facts), made, erased, batches)

    outcome = judge(marker.at, marker.batches, facts)
    if marker.is_done and not outcome.filter(pl.col("reason").is_null() & pl.col("holder").is_null()).is_empty():
        marker = marker.model_copy(update={"at": now, "is_done": False})
        store.write(key, marker.model_dump_json().encode())
    is_new = not marker.is_done
    batch = _batch(incoming.digest, marker)
    if is_new:
        # An attempt that was cut short may have left these very labels: they must not count as there already.
        facts = facts.filter(pl.col("batch") != f"{LABELS}/{batch}")
        facts = pl.concat([facts, _keep(store, batch, judge(marker.at, marker.batches, facts), marker, source, author)])
        marker = marker.model_copy(update={"batches": (*marker.batches, f"{LABELS}/{batch}"), "is_done": True})
        store.write(key, marker.model_dump_json().encode())
        outcome = judge(marker.at, marker.batches, facts)
    kept_in = f"{REJECTED}/{marker.batches[-1].removeprefix(LABELS + '/')}"
    return _report(incoming, outcome, kept_in if store.exists(kept_in) else None, is_new=is_new)


def read_labels(store: Store, since: date | None = None) -> pl.DataFrame:
    """The label that holds for each identifier, of those that arrived on `since` or later, as SCHEMA.

    Also those that wait: whose prediction isn't in the log yet.
    """
    facts = _ordered(read_all(store, LABELS, STORED, since))
    return facts.unique("prediction_id", keep="first", maintain_order=True).select(SCHEMA.names())


def latest_arrivals(store: Store, since: date) -> dict[str, datetime]:
    """When the latest label of each identifier arrived, of those that arrived on `since` or later."""
    facts = _ordered(read_all(store, LABELS, STORED, since))
    return dict(facts.group_by("prediction_id").agg(pl.col("arrived_at").max()).iter_rows())


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
    predictions = live_predictions(store, problem, since, until).filter(pl.col("prediction_id").is_unique())
    facts = _ordered(read_all(store, LABELS, STORED, (since - CLOCK_SKEW).date()))
    made = predictions.select("prediction_id", pl.col("at").alias("made_at"))
    labels = holding(facts.join(made, on="prediction_id", how="semi", maintain_order="left"), made).select(
        "prediction_id",
        "label",
        pl.col("source").alias("label_source"),
        pl.col("at").alias("labelled_at"),
        pl.col("arrived_at").alias("label_arrived_at"),
    )
    if erased := erased_predictions(store):  # another prediction of that name must not get what was said of it
        is_erased = [prediction_digest(name) in erased for name in labels["prediction_id"]]
        labels = labels.filter(~pl.Series(is_erased, dtype=pl.Boolean))
    return predictions.join(labels, on="prediction_id", how="inner", maintain_order="left").to_arrow()


def _started(store: Store, key: str, now: datetime) -> _Marker:
    """The marker of these bytes: the first attempt says when they arrived, the others go on from it."""
    marker = _Marker(at=now)
    try:
        store.create(key, marker.model_dump_json().encode())
    except FileExistsError:
        return _Marker.model_validate_json(store.read(key))
    return marker


def _made(store: Store, problem: Problem) -> pl.DataFrame:
    """Every prediction's identifier, when it was made, and how many predictions have it."""
    log = live_predictions(store, problem, *ALWAYS, columns=["prediction_id"])
    return log.group_by("prediction_id").agg(pl.len().alias("named"), pl.col("at").min().alias("made_at"))


def _ordered(facts: pl.DataFrame) -> pl.DataFrame:
    """What holds first: the latest review, then what arrived first and contradicted nothing then."""
    facts = facts.filter(pl.col("reason").ne_missing("ambiguous"))
    reviews = facts.filter(source=REVIEW).sort("at", descending=True)
    others = facts.filter(pl.col("source") != REVIEW).sort("arrived_at", pl.col("reason").is_not_null(), "label")
    return pl.concat([reviews, others])


def _batch(digest: str, marker: _Marker) -> str:
    """The name of the batch that these bytes become now."""
    again = f"/{len(marker.batches)}" if marker.batches else ""
    return f"day={marker.at.date().isoformat()}/{uuid.uuid5(uuid.NAMESPACE_OID, digest + again)}.parquet"


def _keep(store: Store, batch: str, rows: pl.DataFrame, marker: _Marker, source: str, author: str) -> pl.DataFrame:
    """Write down what may count and what doesn't; the former as it is read again."""
    rows = rows.with_columns(
        pl.lit(source).alias("source"),
        pl.lit(author).alias("author"),
        pl.lit(None, pl.String).alias("note"),
        pl.col("at").fill_null(marker.at),
        pl.lit(marker.at, TIME).alias("arrived_at"),
    )
    bad = rows.filter(pl.col("reason").is_not_null() & (pl.col("reason") != "erased"))
    may_count = pl.col("is_well_formed") & pl.col("reason").ne_missing("erased")
    mine = rows.filter(may_count & ~pl.col("holder").is_in(marker.batches).fill_null(False))
    good = mine.drop("label").rename({"code": "label"}).select(STORED.names()).cast(STORED)
    # What was rejected first: a kill between the two leaves nothing accepted whose rejected neighbours are unknown.
    if not bad.is_empty():
        store.write(f"{REJECTED}/{batch}", parquet(bad.select(REJECTED_COLUMNS)))
    if not good.is_empty():
        store.write(f"{LABELS}/{batch}", parquet(good))
    return good.with_columns(pl.lit(f"{LABELS}/{batch}").alias("batch"))


def _report(incoming: Incoming, outcome: pl.DataFrame, kept_in: str | None, *, is_new: bool) -> LabelReport:
    waits = pl.col("reason").is_null() & ~pl.col("is_known")
    said = outcome.with_columns(pl.when(waits).then(pl.lit("waiting")).otherwise(pl.col("reason")).alias("said"))
    counts = dict(said["said"].value_counts().iter_rows())
    examples: dict[str, list[str]] = {}
    for what, prediction_id, label in (
        said.drop_nulls("said")
        .group_by("said", maintain_order=True)
        .head(EXAMPLES)
        .select("said", "prediction_id", "label")
        .iter_rows()
    ):
        examples.setdefault(what, []).append(f"{prediction_id or '(none)'} = {label or '(none)'}")
    return LabelReport(
        digest=f"sha256:{incoming.digest}",
        rows=len(outcome),
        accepted=int(counts.get(None, 0)),
        waiting=int(counts.get("waiting", 0)),
        rejected={reason: int(counts[reason]) for reason in MEANINGS if reason in counts},
        kept_in=kept_in,
        examples=examples,
        is_new=is_new,
    )
