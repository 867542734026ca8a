"""Logged rows on their way to the store: append-only files that outlive their process, then parquet.

A segment is one Arrow stream, locked for as long as its process writes it. A process that is killed leaves a segment
that nobody locks, perhaps with a torn end: everything before the tear counts. A segment is turned into parquet as a
whole, under its own name, and removed when that is in the store: being killed between the two and doing it again
writes the same objects.
"""

import fcntl
import io
import logging
import os
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from ml.erasures import store_rows
from ml.predictions import partition
from ml.store import Store

__all__ = ["Segment", "read_segment", "segments", "store_segment"]

SUFFIX: Final = ".arrows"

log = logging.getLogger(__name__)


class Segment:
    """A new segment in `folder`, written by this process alone; nothing is in it before it is locked."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.rows = 0
        self._started = time.monotonic()
        file = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}{SUFFIX}"
        self._stream = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        fcntl.flock(self._stream, fcntl.LOCK_EX)
        self._writer = pa.ipc.new_stream(self._stream, schema)

    @property
    def age_s(self) -> float:
        """How long ago it was begun."""
        return time.monotonic() - self._started

    def append(self, batch: pa.RecordBatch) -> None:
        """Write rows so that they outlive this process and, where the disk is honest, the machine; OSError if not."""
        self._writer.write_batch(batch)
        self._stream.flush()
        os.fdatasync(self._stream.fileno())
        self.rows += batch.num_rows

    def close(self) -> None:
        """Let go of the segment: what is in it can be stored."""
        with suppress(OSError):  # the end of a write that failed before
            self._stream.close()


def segments(folder: Path) -> list[Path]:
    """Every segment that holds something, oldest first."""
    return [file for file in sorted(folder.glob(f"*{SUFFIX}")) if file.stat().st_size]


def read_segment(file: io.IOBase) -> pa.Table | None:
    """The rows of a segment up to where it is torn, None when not even its head is whole."""
    batches: list[pa.RecordBatch] = []
    try:
        reader = pa.ipc.open_stream(file)
    except (pa.ArrowException, OSError):
        return None
    try:
        for batch in reader:
            batches.append(batch)  # noqa: PERF402 # what was read before the tear is kept
    except (pa.ArrowException, OSError) as error:
        log.warning("A segment of the prediction log is torn after %d batches: %s", len(batches), error)
    return pa.Table.from_batches(batches, reader.schema)


def store_segment(store: Store, file: Path) -> int:
    """Write a segment's rows as parquet, one object per day and release, and remove it; returns the rows.

    Nothing happens while a process writes it, or when another stores it.
    """
    with _locked(file) as stream:
        table = read_segment(stream) if stream is not None else None
        if table is not None:
            for key, part in _parts(table, file.stem):
                store_rows(store, key, part)
        if stream is not None:
            file.unlink()
        return table.num_rows if table is not None else 0


def _parts(table: pa.Table, name: str) -> Iterator[tuple[str, pa.Table]]:
    days, releases = table["at"].cast(pa.date32()), table["release"]
    pairs = pa.Table.from_arrays([days, releases], ["day", "release"]).group_by(["day", "release"]).aggregate([])
    for pair in pairs.to_pylist():
        day, release = pair["day"], pair["release"]
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
