"""The bytes of a parquet or CSV file as a table; everything that can be wrong with them is a finding."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from ml.arrow import in_memory
from ml.columns.arrow import constant
from ml.columns.header import broken_value, fault, header, misread, undecodable
from ml.columns.spelling import MISSING
from ml.data._numbers import as_numbers
from ml.data.findings import DataRefused, Finding, show
from ml.errors import InputRefused
from ml.problem import Problem

__all__ = ["MOST_CELLS", "SUFFIXES", "parse", "read_bytes"]

SUFFIXES: Final = {".parquet": "parquet", ".pq": "parquet", ".csv": "CSV"}
# A parquet file of a few kilobytes may claim billions of rows: refused before memory is asked for.
MOST_CELLS: Final = 500_000_000


class _Ragged(Protocol):
    """What pyarrow, which has no types for it, says of a line with too few or too many values."""

    expected_columns: int
    actual_columns: int
    number: int | None
    text: str


def read_bytes(file: Path) -> bytes:
    """The file's bytes; InputRefused where it isn't a file that can be read, of a kind that is known."""
    if file.suffix.lower() not in SUFFIXES:
        raise InputRefused(f"{file}: not a kind of file that can be read; give one of {', '.join(SUFFIXES)}.")
    if not file.is_file():
        raise InputRefused(f"{file}: {'not a regular file' if file.exists() else 'there is no such file'}.")
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputRefused(f"{file}: can't be read: {error.strerror}.") from error


def parse(
    problem: Problem, content: bytes, source: str, constants: Mapping[str, Any] = MappingProxyType({})
) -> pd.DataFrame:
    """The table in `content`, a file named `source`: the problem's columns as numbers as far as they hold some.

    `constants` are columns that the file's folders name, with what they say of every row. DataRefused where it is
    empty, cut short or not of its kind.
    """
    kind = SUFFIXES[Path(source).suffix.lower()]
    if not content:
        raise _refused(source, "empty", 0, "empty, 0 bytes")
    try:
        table = _parquet(content, source) if kind == "parquet" else _csv(problem, content, source)
        texts = table.column_names if kind == "CSV" else []
        for name, value in constants.items():
            if name not in table.column_names:
                table = table.append_column(name, constant(value, table.num_rows))
                texts = [*texts, *([name] if isinstance(value, str) else [])]
        return as_numbers(problem, table, texts)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        cut = kind == "parquet" and content[:4] == b"PAR1" and content[-4:] != b"PAR1"
        says = (
            f"not readable as {kind}, {'cut short' if cut else 'damaged or of another kind'} ({len(content):,} bytes)"
        )
        raise _refused(source, "unreadable", len(content), says) from error


def _parquet(content: bytes, source: str) -> pa.Table:
    file = pq.ParquetFile(in_memory(content))
    cells = file.metadata.num_rows * file.metadata.num_columns
    if cells > MOST_CELLS:
        raise _refused(source, "too-large", cells, f"{cells:,} values, more than the {MOST_CELLS:,} that are read")
    return file.read()


def _csv(problem: Problem, content: bytes, source: str) -> pa.Table:
    _require_csv(problem, content, source)
    ragged: list[_Ragged] = []

    def collect(row: _Ragged) -> Literal["skip"]:
        ragged.append(row)
        return "skip"

    table = csv.read_csv(
        in_memory(content),
        # One thread, or a broken line doesn't know its number.
        csv.ReadOptions(use_threads=False, block_size=max(len(content), 1)),
        csv.ParseOptions(invalid_row_handler=collect),
        # What is a number is decided where all readers decide it.
        csv.ConvertOptions(
            column_types=dict.fromkeys(problem.columns, pa.large_string()),
            null_values=sorted(MISSING),
            strings_can_be_null=True,
        ),
    )
    if ragged:
        first = ragged[0]
        says = (
            f"{len(ragged):,} line{'s' * (len(ragged) != 1)} without the header's {first.expected_columns} values, "
            f"such as line {first.number} with {first.actual_columns}: {show(first.text)}"
        )
        raise _refused(source, "ragged-line", len(ragged), says)
    return table


def _require_csv(problem: Problem, content: bytes, source: str) -> None:
    head = content[: content.find(b"\n") + 1 or len(content)]
    if says := fault(head):
        raise _refused(source, "encoding", len(content), f"{says} ({len(content):,} bytes)")
    if (at := undecodable(content)) is not None:
        line = content.count(b"\n", 0, at) + 1
        says = f"not UTF-8 text from byte {at + 1:,} in line {line:,} on ({len(content):,} bytes)"
        raise _refused(source, "encoding", len(content), f"{says}; save it as UTF-8")
    if zeros := content.count(b"\0"):
        raise _refused(source, "encoding", zeros, f"not text: {zeros:,} zero bytes; save it as UTF-8")
    try:
        says = misread(header(head), problem.columns)
    except ValueError as error:
        says = str(error)
    if says:
        raise _refused(source, "header", 1, says)
    if (line := broken_value(content)) is not None:
        says = (
            f"line {line + 1:,}: a quoted value is not closed on its line; write the file without line breaks in values"
        )
        raise _refused(source, "line-break", 1, says)


def _refused(source: str, rule: str, count: int, says: str) -> DataRefused:
    return DataRefused(source, [Finding("error", None, rule, count, (), f"the file as a whole: {says}")])
