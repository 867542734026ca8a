"""People whose records were removed, and what keeps rows that are still on their way from coming back.

    privacy/erasures/<hash of the pseudonym>.json            an erasure; written as a whole by ml.governance.privacy
    privacy/left-out/<hash of the pseudonym>/<object>.json   predictions that came after it and were left out

A server logs to a spool and brings that to the store later, after a restart perhaps much later: it then leaves out
what was logged before its person's erasure. Labels may come before or after their prediction, so both say which
predictions were erased, by hashes of their identifiers: no label of theirs is kept, nor becomes another's.
"""

import hashlib
import json
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Final, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import AwareDatetime, BaseModel

from ml.store import Store

__all__ = [
    "ERASURES",
    "Mark",
    "erased_predictions",
    "erasure_key",
    "left_out",
    "left_out_prefix",
    "prediction_digest",
    "read_mark",
    "store_rows",
]

ERASURES: Final = "privacy/erasures"
LEFT_OUT: Final = "privacy/left-out"
CLOCK_SKEW: Final = timedelta(minutes=5)


class Mark(BaseModel):
    """That an erasure was asked for, and when; whether it is proven and recorded; digests of what it found."""

    asked_at: AwareDatetime
    is_done: bool = False
    predictions: frozenset[str] = frozenset()

    @property
    def until(self) -> datetime:
        """What was logged before is erased: the server's clock may be ahead of that of whoever erases."""
        return self.asked_at + CLOCK_SKEW


def erasure_key(pseudonym: str) -> str:
    """Where the erasure of a pseudonym is kept."""
    return f"{ERASURES}/{hashlib.sha256(pseudonym.encode()).hexdigest()[:32]}.json"


def prediction_digest(prediction_id: str) -> str:
    """What is kept of the identifier of an erased prediction."""
    return hashlib.sha256(prediction_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def left_out_prefix(erasure: str) -> str:
    """Where the predictions are kept that came after the erasure at that key."""
    return f"{LEFT_OUT}/{PurePosixPath(erasure).stem}"


def left_out(store: Store, prefix: str = LEFT_OUT) -> frozenset[str]:
    """Digests of the predictions that were left out on their way to the store."""
    return frozenset(digest for key in store.list(prefix) for digest in json.loads(_read(store, key) or b"[]"))


def erased_predictions(store: Store) -> frozenset[str]:
    """Digests of every prediction that was erased, for as long as erasures are kept."""
    marks = (read_mark(store, key) for key in store.list(ERASURES))
    return left_out(store).union(*(mark.predictions for mark in marks if mark))


def store_rows(store: Store, key: str, rows: pa.Table) -> None:
    """Write predictions (`ml.predictions.log_schema`) without those of people erased since; none left, no object."""
    while True:
        rows = _without_erased(store, key, rows)
        if not rows.num_rows:
            store.delete(key)
            return
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd")
        store.write(key, sink.getvalue().to_pybytes())
        # An erasure written down before the object was there may have looked for it in vain; a later one finds it.
        if _without_erased(store, key, rows).num_rows == rows.num_rows:
            return


def _without_erased(store: Store, key: str, rows: pa.Table) -> pa.Table:
    marked = {PurePosixPath(erasure).name for erasure in store.list(ERASURES)}
    if not marked:
        return rows
    for subject in filter(None, rows["subject"].unique().to_pylist()):
        erasure = erasure_key(subject)
        if PurePosixPath(erasure).name in marked and (mark := read_mark(store, erasure)):
            is_theirs = pc.is_in(rows["subject"], value_set=pa.array([subject], pa.string()))
            is_earlier = pc.less(rows["at"], pa.scalar(mark.until, rows.schema.field("at").type))
            is_erased = pc.and_(is_theirs, is_earlier)
            _note(store, erasure, key, rows.filter(cast("pa.ChunkedArray[pa.BooleanScalar]", is_erased)))
            rows = rows.filter(pc.invert(is_erased))
    return rows


def _note(store: Store, erasure: str, key: str, rows: pa.Table) -> None:
    """Before the rows are gone: being killed and doing it again notes the same."""
    if prediction_ids := [str(name) for name in rows["prediction_id"].to_pylist()]:
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        digests = sorted(map(prediction_digest, prediction_ids))
        store.write(f"{left_out_prefix(erasure)}/{name}.json", json.dumps(digests).encode())


def read_mark(store: Store, key: str) -> Mark | None:
    """The mark at `key`, None when there is none (any more)."""
    found = _read(store, key)
    return Mark.model_validate_json(found) if found is not None else None


def _read(store: Store, key: str) -> bytes | None:
    try:
        return store.read(key)
    except FileNotFoundError:
        return None
