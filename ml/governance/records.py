"""What an environment holds on a person: where it is, how to read it, and how to take it out.

Predictions carry a subject's pseudonym; labels, cases and decisions carry the prediction's identifier. An object is
replaced by one without the person's rows, as a whole, so that a kill at any point leaves every object readable.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ml.arrow import in_memory
from ml.bundle.canonical import canonical_json, sha256
from ml.erasures import prediction_digest
from ml.errors import MlopsError
from ml.feedback.labels import FILES, LABELS, REJECTED
from ml.feedback.queue import CASES, DECISIONS
from ml.predictions import PREFIX as PREDICTIONS
from ml.store import Store

__all__ = ["AREAS", "Area", "Found", "Person", "Search", "find", "prediction_ids", "read", "remove"]

Area = Literal["predictions", "labels", "rejected_labels", "review_cases", "review_decisions"]
# Predictions last: what else is a person's is known by their identifiers, which only they hold.
AREAS: Final[dict[Area, str]] = {
    "rejected_labels": REJECTED,
    "labels": LABELS,
    "review_cases": CASES,
    "review_decisions": DECISIONS,
    "predictions": PREDICTIONS,
}
RECORDS: Final = frozenset[Area](("review_cases", "review_decisions"))  # JSON; the others are tables
NAMED_BY: Final[dict[Area, list[str]]] = {
    "predictions": ["subject", "at"],
    "labels": ["prediction_id"],
    "rejected_labels": ["prediction_id"],
}


@dataclass(frozen=True)
class Person:
    """Whose records are meant: those of the pseudonym that were logged before `until`, and of those predictions.

    `digests` are of predictions that are gone, whose identifiers aren't kept.
    """

    pseudonym: str
    until: datetime
    prediction_ids: frozenset[str] = frozenset()
    digests: frozenset[str] = frozenset()

    def has(self, prediction_id: str | None) -> bool:
        """Whether a prediction is one of theirs."""
        named = prediction_id or ""
        return named in self.prediction_ids or (bool(self.digests) and prediction_digest(named) in self.digests)


@dataclass(frozen=True)
class Found:
    """One object, and how many of its rows or records are a person's."""

    area: Area
    key: str
    rows: int


@dataclass(frozen=True)
class Search:
    """What was found of a person, in the order in which to remove it, and what was looked at.

    `rows` counts the rows and records in `objects` objects; `digest` is of every key with its rows, all and theirs.
    """

    found: tuple[Found, ...]
    objects: int
    rows: int
    digest: str


def prediction_ids(store: Store, person: Person) -> frozenset[str]:
    """The identifiers of a person's predictions that are in the log."""
    tables = _tables(store, "predictions", ["prediction_id", *NAMED_BY["predictions"]])
    mine = (_rows(table, "predictions", person) for _, table in tables)
    return frozenset(str(name) for table in mine for name in table["prediction_id"].to_pylist())


def find(store: Store, person: Person) -> Search:
    """Look through every object for a person."""
    seen = [counted for area in AREAS for counted in _counts(store, area, person)]
    return Search(
        found=tuple(found for found, _ in seen if found.rows),
        objects=len(seen),
        rows=sum(rows for _, rows in seen),
        digest=sha256(canonical_json([[found.key, rows, found.rows] for found, rows in seen])),
    )


def _counts(store: Store, area: Area, person: Person) -> Iterator[tuple[Found, int]]:
    """Each object, and how many rows it has in all."""
    if area in RECORDS:
        for key, record in _records(store, area):
            yield Found(area, key, int(_is_of(record, person))), 1
    else:
        for key, table in _tables(store, area, NAMED_BY[area]):
            yield Found(area, key, int(_is_mine(table, area, person).sum())), len(table)


def read(store: Store, person: Person) -> dict[Area, list[dict[str, Any]]]:
    """Everything held on a person."""
    held: dict[Area, list[dict[str, Any]]] = {area: [] for area in AREAS}
    for area in AREAS:
        if area in RECORDS:
            held[area] = [record for _, record in _records(store, area) if _is_of(record, person)]
        else:
            held[area] = [row for _, table in _tables(store, area) for row in _rows(table, area, person).to_pylist()]
    return held


def remove(store: Store, found: Found, person: Person) -> None:
    """Take a person's records out of one object; an object that holds nothing else goes."""
    if found.area in RECORDS:
        store.delete(found.key)
        return
    try:
        table = _table(store, found.key)
    except FileNotFoundError:
        return  # it went with its day
    # pyarrow keeps the schema to the letter, on which readers of the log rely; polars would widen its strings.
    rest = table.filter(pa.array((~_is_mine(table, found.area, person)).to_numpy()))
    if not len(rest):
        store.delete(found.key)
        return
    buffer = io.BytesIO()
    pq.write_table(rest, buffer, compression="zstd")
    store.write(found.key, buffer.getvalue())


def _rows(table: pa.Table, area: Area, person: Person) -> pa.Table:
    return table.filter(pa.array(_is_mine(table, area, person).to_numpy()))


def _is_mine(table: pa.Table, area: Area, person: Person) -> pl.Series:
    """For each row whether it is the person's; what a row doesn't say is nobody's."""
    if area == "predictions":
        rows = cast(pl.DataFrame, pl.from_arrow(table.select(NAMED_BY[area])))
        mine = (pl.col("subject") == person.pseudonym) & (pl.col("at") < person.until)
    else:
        return pl.Series([person.has(name) for name in table["prediction_id"].to_pylist()], dtype=pl.Boolean)
    return rows.select(mine.fill_null(False)).to_series()


def _tables(store: Store, area: Area, columns: list[str] | None = None) -> Iterator[tuple[str, pa.Table]]:
    for key in _keys(store, area):
        if key.endswith(".parquet"):
            try:
                yield key, _table(store, key, columns)
            except FileNotFoundError:
                continue  # it went with its day


def _table(store: Store, key: str, columns: list[str] | None = None) -> pa.Table:
    try:
        return pq.ParquetFile(in_memory(store.read(key))).read(columns=columns)
    except pa.ArrowException as error:
        raise _unreadable(store, key, "parquet", error) from error


def _unreadable(store: Store, key: str, kind: str, error: Exception) -> MlopsError:
    return MlopsError(
        f"{store.url(key)} can't be read as {kind}, so nobody knows whose records are in it: {error}. "
        "Restore or delete it, then run the command again."
    )


def _records(store: Store, area: Area) -> Iterator[tuple[str, dict[str, Any]]]:
    for key in _keys(store, area):
        try:
            record = json.loads(store.read(key))
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise _unreadable(store, key, "JSON", error) from error
        yield key, record


def _is_of(record: dict[str, Any], person: Person) -> bool:
    case = record.get("case")
    named = case if isinstance(case, dict) else record  # a decision holds its case
    return person.has(named.get("prediction_id"))


def _keys(store: Store, area: Area) -> list[str]:
    """An area's objects, without those of areas below it."""
    below = (REJECTED, FILES) if area == "labels" else ()
    return [key for key in store.list(AREAS[area]) if not key.startswith(tuple(f"{prefix}/" for prefix in below))]
