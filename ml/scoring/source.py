"""An input as numbered parts, each small enough to be done at a sitting, and the batches of each part."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import pyarrow as pa

from ml.inputs.files import Format

__all__ = ["Batch", "Part", "Source"]


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stretch of one file: row groups of parquet, or bytes `start` to `end` of CSV.

    `weight` in bytes is for the progress bar; `changed` is whatever tells another content of the file.
    """

    number: int
    file: str
    weight: int
    changed: str | None = None
    constants: dict[str, Any] = {}
    groups: tuple[int, ...] = ()
    first_row: int = 0
    start: int = 0
    end: int = 0


class Batch(NamedTuple):
    """Some rows of a part: the columns that were asked for, each row's number in the part, and broken lines.

    A broken line has a number too, and says what was expected instead.
    """

    rows: pa.RecordBatch
    numbers: np.ndarray
    broken: list[tuple[int, str]]


class Source(Protocol):
    """An input that was looked through, without its rows."""

    uri: str
    format: Format
    version: int | None
    parts: tuple[Part, ...]
    schema: pa.Schema

    def read(self, part: Part, batch_rows: int) -> Iterator[Batch]:
        """The rows of a part in order; memory is that of a batch, not of a part."""
        ...

    def first_row(self, part: Part) -> int:
        """The number of the part's first row in its file; rows count from 0."""
        ...
