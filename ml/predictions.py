"""The prediction log: where it is in the store, and what a row of it holds. The server writes it, the loop reads it."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.arrow import in_memory
from ml.problem import Problem
from ml.store import Store

__all__ = ["PREFIX", "log_schema", "partition", "read_log", "schema_of"]

PREFIX = "predictions"


def log_schema(problem: Problem) -> pa.Schema:
    """The columns of a problem's log."""
    return schema_of(problem.feature_names)


def schema_of(names: Sequence[str]) -> pa.Schema:
    """The columns of a log with these features.

    `prediction_id` is the request's id, with `-<row>` behind it in a request of many rows. `subject` is a keyed
    pseudonym, null when the caller named nobody. `reasons` is JSON, a list of {"feature": …, "contribution": …}, null
    when no explanation was asked for.
    `role` is champion, challenger (canary) or shadow; only a shadow's answer was never given to anybody.
    """
    features = [(name, pa.int32()) for name in names]
    return pa.schema(
        [
            ("prediction_id", pa.string()),
            ("subject", pa.string()),
            ("at", pa.timestamp("us", tz="UTC")),
            ("release", pa.string()),
            ("role", pa.string()),
            *features,
            ("score", pa.float64()),
            ("decision", pa.int8()),
            ("threshold", pa.float64()),
            ("reasons", pa.string()),
        ]
    )


def partition(day: date, release: str) -> str:
    """The key prefix of one day's predictions of one release (a `sha256:` digest)."""
    return f"{PREFIX}/day={day.isoformat()}/release={release.removeprefix('sha256:')[:12]}"


def read_log(
    store: Store, problem: Problem, since: datetime, until: datetime, columns: list[str] | None = None
) -> pa.Table:
    """The rows logged from `since` up to, not including, `until`, in order of time; empty when there are none."""
    schema = log_schema(problem)
    wanted = list(dict.fromkeys([*(columns or schema.names), "at"]))
    tables = [pq.read_table(in_memory(store.read(key)), columns=wanted) for key in _keys(store, since, until)]
    empty = pa.schema([schema.field(name) for name in wanted]).empty_table()
    table = pa.concat_tables([empty, *tables]).sort_by("at")
    kind = schema.field("at").type
    at = table["at"]
    return table.filter(pc.and_(pc.greater_equal(at, pa.scalar(since, kind)), pc.less(at, pa.scalar(until, kind))))


def _keys(store: Store, since: datetime, until: datetime) -> Iterator[str]:
    for key in store.list(PREFIX):
        day = key.split("/")[1].removeprefix("day=")
        if key.endswith(".parquet") and since.date().isoformat() <= day <= until.date().isoformat():
            yield key
