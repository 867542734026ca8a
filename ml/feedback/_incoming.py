"""Labels as they come in, from a file or a request: columns of text and time, nothing judged yet."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
from polars.exceptions import PolarsError
from pyarrow import ArrowException

from ml.arrow import in_memory
from ml.columns.arrow import Array, are_numbers, is_text, numbers, plain
from ml.columns.header import fault, header, misnamed, undecodable
from ml.columns.spelling import MISSING
from ml.errors import InputRefused
from ml.problem.domain import LARGEST, whole

__all__ = ["TIME", "Incoming", "from_file", "from_request"]

MAXIMUM_ROWS: Final = 10_000_000
COLUMNS: Final = {"prediction_id": True, "label": True, "at": False}  # whether it must be there
TIME: Final = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Incoming:
    """`rows` has prediction_id as trimmed text; label as the digits of a whole number, or as the text that is none; at
    (null where none was given), and bad_time, whether what was given is no time.

    `digest` is the SHA-256 of the bytes that it came in, in hexadecimal.
    """

    rows: pl.DataFrame
    digest: str


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    prediction_id: str
    label: int | float
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
        table = (_parquet if content.startswith(b"PAR1") else _csv)(content, file)
        return _incoming(table, str(file), content)
    except (PolarsError, ArrowException, OSError, ValueError) as error:
        raise InputRefused(f"{file}: not readable as parquet or CSV: {str(error)[:200]}") from error


def from_request(body: bytes) -> Incoming:
    """The body of POST /labels: {"labels": [{"prediction_id": …, "label": 1, "at": …}, …]}; InputRefused else."""
    try:
        rows = msgspec.json.decode(body, type=_Request).labels
    except msgspec.DecodeError as error:
        raise InputRefused(
            f'The request is not {{"labels": [{{"prediction_id": "…", "label": 1}}, …]}}: {error}.'
        ) from error
    numbers_ = [whole(row.label) for row in rows]
    labels = [str(row.label if number is None else number) for row, number in zip(rows, numbers_, strict=True)]
    columns = {"prediction_id": [row.prediction_id for row in rows], "label": labels, "at": [row.at for row in rows]}
    table = pa.table(columns, schema=pa.schema([(name, pa.string()) for name in COLUMNS]))
    return _incoming(table, "The request", body)


def _parquet(content: bytes, file: Path) -> pa.Table:
    opened = pq.ParquetFile(in_memory(content))
    if opened.metadata.num_rows > MAXIMUM_ROWS:  # refused before memory is asked for
        raise InputRefused(f"{file}: {opened.metadata.num_rows:,} rows; give at most {MAXIMUM_ROWS:,} at a time.")
    _demand(opened.schema_arrow.names, file)
    return opened.read([name for name in COLUMNS if name in opened.schema_arrow.names])


def _csv(content: bytes, file: Path) -> pa.Table:
    head = content[: content.find(b"\n") + 1 or len(content)]
    if says := fault(head):
        raise InputRefused(f"{file}: {says}.")
    if (at := undecodable(content)) is not None:
        line = content.count(b"\n", 0, at) + 1
        raise InputRefused(f"{file}: not UTF-8 in line {line:,}. Save it as UTF-8.")
    names = header(head)
    _demand(names, file)
    # As text: an identifier of digits in a CSV must not become a number, nor lose a leading zero.
    kept = {name: pa.large_string() for name in COLUMNS if name in names}
    return csv.read_csv(
        in_memory(content),
        csv.ReadOptions(use_threads=False, block_size=len(content)),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(include_columns=list(kept), column_types=kept),
    )


def _demand(names: list[str], file: Path) -> None:
    wanted = [name for name, required in COLUMNS.items() if required or name in names]
    if says := misnamed(names, wanted):
        raise InputRefused(f"{file}: {says} Labels have prediction_id, label and, where it is known, at.")


def _incoming(table: pa.Table, source: str, content: bytes) -> Incoming:
    if not table.num_rows:
        raise InputRefused(f"{source} holds no label.")
    if nested := [field.name for field in table.schema if pa.types.is_nested(field.type)]:
        raise InputRefused(f"{source} has lists or records in the column {nested[0]!r}; give text or numbers.")
    given = _series(table, "at") if "at" in table.column_names else pl.Series([None] * table.num_rows, dtype=pl.String)
    if given.dtype == pl.String or given.dtype == pl.Binary:
        given = _text(given)
        given = given.set(given.is_in(MISSING), None)
    at = _times(given)
    rows = pl.DataFrame(
        {
            "prediction_id": _text(_series(table, "prediction_id")),
            "label": _label(table.column("label").combine_chunks()),
            "at": at,
            "bad_time": given.is_not_null() & at.is_null(),
        }
    )
    return Incoming(rows, hashlib.sha256(content).hexdigest())


def _series(table: pa.Table, name: str) -> pl.Series:
    return cast(pl.Series, pl.from_arrow(plain(table.column(name).combine_chunks())))


def _text(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Binary:
        column = column.cast(pl.String, strict=False)  # bytes that are no text become null: no identifier, no code
    text = column.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def _label(column: Array) -> pl.Series:
    """A whole number as its digits, however the file has it; null for what is missing, and other values as they are."""
    column = plain(column)
    if not (are_numbers(column.type) or is_text(column.type)):
        return pl.Series([None if value is None else str(value) for value in column.to_pylist()], dtype=pl.String)
    found = numbers(column)
    digits = pl.Series(found.values).cast(pl.Int64, strict=False).cast(pl.String)
    others = np.flatnonzero(found.wrong | (np.abs(found.values) > LARGEST)).tolist()
    return digits.scatter(others, [str(column[row].as_py()) for row in others]) if others else digits


def _times(column: pl.Series) -> pl.Series:
    """In UTC; null for what is no time. A time that names no zone is taken for UTC."""
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        is_zoned = isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone
        times = column.cast(pl.Datetime("us"), strict=False) if not is_zoned else column.dt.cast_time_unit("us")
        return times.dt.convert_time_zone("UTC") if is_zoned else times.dt.replace_time_zone("UTC")
    return pl.Series("at", [_time(value) for value in column.cast(pl.String)], TIME)


def _time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text or "")
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
