"""Bring closed segments of the log to the store, as parquet: `python -m ml.serving.log.store STORE SPOOL KEEP`.

A server has this done by a process that ends after it, so that it needs neither pyarrow nor time for it. Each segment
is turned into parquet as a whole, under its own name, and removed when that is in the store: being killed between the
two and doing it again writes the same objects.
"""

import fcntl
import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from ml.serving.log.spool import MISSING, Frame, read_frames, segments
from ml.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Done", "follow", "read_segment", "rows_of", "store_here", "store_parts", "store_segment", "storing"]

LOWEST: Final = 19  # priority: requests first

log = logging.getLogger(__name__)


class Done(msgspec.Struct, frozen=True):
    """What became of a segment: rows in the store, or why they are not; or how many older rows had to go for them."""

    file: str
    rows: int = 0
    error: str | None = None
    discarded: int = 0


def storing(store: Store, spool: Path, keep_bytes: int | None = None, *, is_urgent: bool) -> "subprocess.Popen[bytes]":
    """Begin to store every closed segment in a process of its own, which gives way to others unless it `is_urgent`.

    It can be ended at any time.
    """
    keep = str(keep_bytes) if keep_bytes is not None else "all"
    command = [sys.executable, "-m", __name__, store.uri, str(spool), keep, *(["urgent"] if is_urgent else [])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)


def follow(process: "subprocess.Popen[bytes]", tell: Callable[[Done], None]) -> int:
    """Hand on what a storing process says, until it ends; its exit code."""
    with process:
        for line in process.stdout or ():
            tell(msgspec.json.decode(line, type=Done))
    return process.returncode


def store_here(store: Store, spool: Path, tell: Callable[[Done], None], keep_bytes: int | None = None) -> None:
    """Store every closed segment in this process; the store's oldest predictions go where it keeps `keep_bytes`."""
    for file in segments(spool):
        try:
            tell(Done(str(file), store_segment(store, file)))
        except Exception as error:  # the store is away, or one spool is spoilt: the others and later ones go on
            tell(Done(str(file), error=f"{type(error).__name__}: {error}"))
    if keep_bytes is not None:
        for file, rows in _discard_oldest(store, keep_bytes):
            tell(Done(str(file), discarded=rows))


def _discard_oldest(store: Store, keep_bytes: int) -> Iterator[tuple[Path, int]]:
    """Remove the oldest predictions of a folder until the rest is no larger; each file that went, with its rows."""
    import pyarrow.parquet as pq

    from ml.predictions import PREFIX

    files = sorted(Path(store.path(PREFIX)).rglob("*.parquet"), key=lambda file: file.name)  # begins with its time
    sizes = {file: file.stat().st_size for file in files}
    excess = sum(sizes.values()) - keep_bytes
    for file in files:
        if excess <= 0:
            return
        excess -= sizes[file]
        with suppress(FileNotFoundError):  # another worker discards too
            rows = pq.read_metadata(file).num_rows
            file.unlink()
            yield file, rows


def store_segment(store: Store, file: Path) -> int:
    """Write a segment's rows as parquet, one object per day and release, and remove it; returns the rows.

    Nothing happens while a process writes it, or when another stores it.
    """
    with _locked(file) as stream:
        table = read_segment(stream) if stream is not None else None
        if table is not None:
            store_parts(store, table, file.stem)
        if stream is not None:
            file.unlink()
        return table.num_rows if table is not None else 0


def read_segment(stream: IO[bytes]) -> "pa.Table | None":
    """The rows of a segment up to where it is torn, None when not even its head is whole."""
    from ml.lean import keep_pandas_out

    found = read_frames(stream)
    if found is None:
        return None
    keep_pandas_out()
    features, frames = found
    return rows_of(features, frames)


def rows_of(features: list[str], frames: Iterable[Frame]) -> "pa.Table":
    """Frames as rows of the log."""
    import pyarrow as pa

    from ml.predictions import schema_of

    schema = schema_of(features)
    batches = [pa.RecordBatch.from_pydict(_columns(features, frame), schema) for frame in frames]
    return pa.Table.from_batches(batches, schema)


def store_parts(store: Store, rows: "pa.Table", name: str) -> None:
    """Write rows of the log, one object per day and release, over what was there under the same name."""
    from ml.erasures import store_rows

    for key, part in _parts(rows, name):
        store_rows(store, key, part)


def _columns(features: list[str], frame: Frame) -> dict[str, Any]:
    import pyarrow as pa

    rows = len(frame.prediction_ids)
    values = np.frombuffer(frame.features, "<i4").reshape(rows, len(features))
    missing = values == MISSING
    return {
        "prediction_id": frame.prediction_ids,
        "subject": frame.subjects or [None] * rows,
        "at": pa.array(np.frombuffer(frame.at, "<i8"), pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        "release": pa.repeat(frame.release, rows),
        "role": pa.repeat(frame.role, rows),
        **{name: pa.array(values[:, i], pa.int32(), mask=missing[:, i]) for i, name in enumerate(features)},
        "score": np.frombuffer(frame.scores, "<f8"),
        "decision": np.frombuffer(frame.decisions, "i1"),
        "threshold": pa.repeat(frame.threshold, rows),
        "reasons": frame.reasons or [None] * rows,
    }


def _parts(table: "pa.Table", name: str) -> Iterator[tuple[str, "pa.Table"]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    from ml.predictions import partition

    days, releases = table["at"].cast(pa.date32()), table["release"]
    pairs = pa.Table.from_arrays([days, releases], ["day", "release"]).group_by(["day", "release"]).aggregate([])
    for pair in pairs.to_pylist():
        day, release = pair["day"], pair["release"]
        if len(pairs) == 1:  # no copy of what may be large
            yield f"{partition(day, release)}/{name}.parquet", table
            return
        of_both = pc.and_(pc.equal(days, pa.scalar(day, pa.date32())), pc.equal(releases, pa.scalar(release)))
        yield f"{partition(day, release)}/{name}.parquet", table.filter(of_both)


@contextmanager
def _locked(file: Path) -> Generator[io.BufferedReader | None]:
    """The segment for reading, None while another holds it or when it is gone."""
    try:
        stream = file.open("rb")
    except FileNotFoundError:
        yield None
        return
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield stream if file.exists() else None


def _tell(done: Done) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to the server, which ends when this has ended
    uri, folder, kept, *urgent = sys.argv[1:]
    if not urgent:
        os.nice(LOWEST)
    store_here(Store(uri), Path(folder), _tell, None if kept == "all" else int(kept))
