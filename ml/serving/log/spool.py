"""Logged rows on their way to the store: append-only files that outlive their process.

A segment is a row of frames, each with its length and checksum before it, locked for as long as its process writes it.
The first names the features, the others hold rows. A process that is killed leaves a segment that nobody locks, perhaps
with a torn end: everything before the tear counts. `ml.serving.log.store` makes parquet of it; what is needed for that
is not imported here, because it would cost a server 60 MB and stalls.
"""

import fcntl
import logging
import os
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import IO, Any, Final

import msgspec

__all__ = ["MISSING", "Frame", "Segment", "read_frames", "segments"]

SUFFIX: Final = ".spool"
MISSING: Final = -(2**31)  # stands for no value among a frame's features
HEAD: Final = Struct("<II")

log = logging.getLogger(__name__)


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Rows of one release in one role, column by column, as `ml.predictions.log_schema` has them.

    Arrays are bytes, little-endian: `at` int64 microseconds, `features` int32 (rows, features), `scores` float64,
    `decisions` int8. `subjects` are pseudonyms. None is a column without a value.
    """

    release: str
    role: str
    threshold: float
    prediction_ids: list[str]
    at: bytes
    features: bytes
    scores: bytes
    decisions: bytes
    subjects: list[str | None] | None = None
    reasons: list[str | None] | None = None


class Segment:
    """A new segment in `folder`, written by this process alone; nothing is in it before it is locked."""

    def __init__(self, folder: Path, features: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.rows = 0
        self._started = time.monotonic()
        self._encoder = msgspec.msgpack.Encoder()
        file = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}{SUFFIX}"
        self._stream = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)
        fcntl.flock(self._stream, fcntl.LOCK_EX)
        self._write(list(features))

    @property
    def age_s(self) -> float:
        """How long ago it was begun."""
        return time.monotonic() - self._started

    def append(self, frame: Frame) -> None:
        """Write rows so that they outlive this process; OSError where that fails."""
        self._write(frame)
        self.rows += len(frame.prediction_ids)

    def sync(self) -> None:
        """Have what was written outlive the machine, where its disk is honest; OSError if not."""
        os.fdatasync(self._stream.fileno())

    def close(self) -> None:
        """Let go of the segment: what is in it can be stored."""
        with suppress(OSError):  # the end of a write that failed before
            self._stream.close()

    def _write(self, value: Any) -> None:
        data = self._encoder.encode(value)
        left = memoryview(HEAD.pack(len(data), zlib.crc32(data)) + data)
        while left:
            left = left[self._stream.write(left) :]


def segments(folder: Path) -> list[Path]:
    """Every segment that holds something, oldest first."""
    return [file for file in sorted(folder.glob(f"*{SUFFIX}")) if file.stat().st_size]


def read_frames(stream: IO[bytes]) -> tuple[list[str], Iterator[Frame]] | None:
    """The features and the rows of a segment up to where it is torn, None when not even its head is whole."""
    parts = _whole(stream)
    head = next(parts, None)
    if head is None:
        return None
    frames = msgspec.msgpack.Decoder(Frame)
    return msgspec.msgpack.decode(head, type=list[str]), (frames.decode(part) for part in parts)


def _whole(stream: IO[bytes]) -> Iterator[bytes]:
    number = 0
    while head := stream.read(HEAD.size):
        length, checksum = HEAD.unpack(head) if len(head) == HEAD.size else (-1, 0)
        data = stream.read(length) if length >= 0 else b""
        if len(data) != length or zlib.crc32(data) != checksum:
            log.warning("A segment of the prediction log is torn after %d frames", number)
            return
        number += 1
        yield data
