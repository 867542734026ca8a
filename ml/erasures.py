"""People whose records were removed, and what keeps rows that are still on their way from coming back.

    privacy/erasures/<hash of the pseudonym>.json   an erasure; written and read as a whole by ml.governance.privacy

A server logs to a spool and brings that to the store later, after a restart perhaps much later: it then leaves out
what was logged before its person's erasure.
"""

import hashlib
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import AwareDatetime, BaseModel

from ml.store import Store

__all__ = ["ERASURES", "Mark", "erasure_key", "read_mark", "store_rows"]

ERASURES: Final = "privacy/erasures"
CLOCK_SKEW: Final = timedelta(minutes=5)


class Mark(BaseModel):
    """That an erasure was asked for, and when; whether it is proven and recorded."""

    asked_at: AwareDatetime
    is_done: bool = False

    @property
    def until(self) -> datetime:
        """What was logged before is erased: the server's clock may be ahead of that of whoever erases."""
        return self.asked_at + CLOCK_SKEW


def erasure_key(pseudonym: str) -> str:
    """Where the erasure of a pseudonym is kept."""
    return f"{ERASURES}/{hashlib.sha256(pseudonym.encode()).hexdigest()[:32]}.json"


def store_rows(store: Store, key: str, rows: pa.Table) -> None:
    """Write predictions (`ml.predictions.log_schema`) without those of people erased since; none left, no object."""
    while True:
        rows = _without_erased(store, rows)
        if not rows.num_rows:
            store.delete(key)
            return
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd")
        store.write(key, sink.getvalue().to_pybytes())
        # An erasure written down before the object was there may have looked for it in vain; a later one finds it.
        if _without_erased(store, rows).num_rows == rows.num_rows:
            return


def _without_erased(store: Store, rows: pa.Table) -> pa.Table:
    marked = {PurePosixPath(key).name for key in store.list(ERASURES)}
    if not marked:
        return rows
    for subject in filter(None, rows["subject"].unique().to_pylist()):
        key = erasure_key(subject)
        if PurePosixPath(key).name in marked and (mark := read_mark(store, key)):
            is_theirs = pc.is_in(rows["subject"], value_set=pa.array([subject], pa.string()))
            is_earlier = pc.less(rows["at"], pa.scalar(mark.until, rows.schema.field("at").type))
            rows = rows.filter(pc.invert(pc.and_(is_theirs, is_earlier)))
    return rows


def read_mark(store: Store, key: str) -> Mark | None:
    """The mark at `key`, None when there is none (any more)."""
    try:
        return Mark.model_validate_json(store.read(key))
    except FileNotFoundError:
        return None
