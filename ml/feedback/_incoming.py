"""Labels as they come in, from a file or a request: columns of text and time, nothing judged yet."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import polars as pl
import pyarrow.parquet as pq
from polars.exceptions import PolarsError
from pyarrow import ArrowException

from ml.arrow import in_memory
from ml.errors import InputRefused

__all__ = ["TIME", "Incoming", "from_file", "from_request"]

MAXIMUM_ROWS: Final = 10_000_000
COLUMNS: Final = {"prediction_id": True, "label": True, "at": False}  # whether it must be there
TIME: Final = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Incoming:
    """`rows` has prediction_id and label as trimmed text, at (null where none was given) and bad_time, whether what
    was given is no time; `digest` is the SHA-256 of the bytes that it came in, in hexadecimal."""

    rows: pl.DataFrame
    digest: str


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    prediction_id: str
    label: int
    at: str | None = None


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    labels: list[_Row]


def from_file(file: Path) -> Incoming:
    """A parquet or CSV file with the columns prediction_id, label and, if you like, at; InputRefused for another."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputRefused(f"{file}: can't be read: {error.strerror}.") from error
    if not content:
        raise InputRefused(f"{file}: empty, 0 bytes.")
    try:
        # As text: an identifier of digits in a CSV must not become a number, nor lose a leading zero.
        table = _parquet(content, file) if content.startswith(b"PAR1") else pl.read_csv(content, infer_schema=False)
    except (PolarsError, ArrowException, OSError, ValueError) as error:
        raise InputRefused(f"{file}: not readable as parquet or CSV: {str(error)[:200]}") from error
    return _incoming(table, str(file), content)


def from_request(body: bytes) -> Incoming:
    """The body of POST /labels: {"labels": [{"prediction_id": …, "label": 1, "at": …}, …]}; InputRefused else."""
    try:
        rows = msgspec.json.decode(body, type=_Request).labels
    except msgspec.DecodeError as error:
        raise InputRefused(
            f'The request is not {{"labels": [{{"prediction_id": "…", "label": 1}}, …]}}: {error}.'
        ) from error
    columns = {"prediction_id": [row.prediction_id for row in rows], "label": [str(row.label) for row in rows]}
    table = pl.DataFrame(columns | {"at": [row.at for row in rows]}, schema=dict.fromkeys(COLUMNS, pl.String))
    return _incoming(table, "The request", body)


def _parquet(content: bytes, file: Path) -> pl.DataFrame:
    claimed = pq.ParquetFile(in_memory(content)).metadata
    if claimed.num_rows > MAXIMUM_ROWS:  # refused before memory is asked for
        raise InputRefused(f"{file}: {claimed.num_rows:,} rows; give at most {MAXIMUM_ROWS:,} at a time.")
    return pl.read_parquet(content)


def _incoming(table: pl.DataFrame, source: str, content: bytes) -> Incoming:
    missing = [name for name, required in COLUMNS.items() if required and name not in table.columns]
    if missing:
        raise InputRefused(
            f"{source} has no column {missing[0]!r}. Labels have prediction_id, label and, where it is known, at."
        )
    if table.is_empty():
        raise InputRefused(f"{source} holds no label.")
    if nested := [name for name in COLUMNS if name in table.columns and table.schema[name].is_nested()]:
        raise InputRefused(f"{source} has lists or records in the column {nested[0]!r}; give text or numbers.")
    given = table["at"] if "at" in table.columns else pl.Series("at", [None] * len(table), pl.String)
    at = _times(given)
    rows = pl.DataFrame(
        {
            "prediction_id": _text(table["prediction_id"]),
            "label": _text(table["label"]),
            "at": at,
            "bad_time": given.is_not_null() & at.is_null(),
        }
    )
    return Incoming(rows, hashlib.sha256(content).hexdigest())


def _text(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Boolean:
        column = column.cast(pl.Int8)
    if column.dtype == pl.Binary:
        column = column.cast(pl.String, strict=False)  # bytes that are no text become null: no identifier, no code
    text = column.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def _times(column: pl.Series) -> pl.Series:
    """In UTC; null for what is no time. A time that names no zone is taken for UTC."""
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        is_zoned = isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone
        times = column.cast(pl.Datetime("us"), strict=False) if not is_zoned else column.dt.cast_time_unit("us")
        return times.dt.convert_time_zone("UTC") if is_zoned else times.dt.replace_time_zone("UTC")
    return pl.Series("at", [_time(value) for value in column.cast(pl.String)], TIME)


def _time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat((text or "").strip())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
