"""The bytes of a parquet or CSV file as a table; everything that can be wrong with them is a finding."""

from pathlib import Path
from typing import Final, Literal, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from ml.arrow import in_memory
from ml.data.findings import DataRefused, Finding, show
from ml.errors import InputRefused

__all__ = ["SUFFIXES", "parse", "read_bytes"]

SUFFIXES: Final = {".parquet": "parquet", ".pq": "parquet", ".csv": "CSV"}
# A parquet file of a few kilobytes may claim billions of rows: refused before memory is asked for.
MOST_CELLS: Final = 500_000_000


class _Ragged(Protocol):
    """What pyarrow, which has no types for it, says of a line with too few or too many values."""

    expected_columns: int
    actual_columns: int
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


def parse(content: bytes, source: str) -> pd.DataFrame:
    """The table in `content`, a file named `source`; DataRefused where it is empty, cut short or not of its kind."""
    kind = SUFFIXES[Path(source).suffix.lower()]
    if not content:
        raise _refused(source, "empty", 0, "empty, 0 bytes")
    try:
        return _parquet(content, source) if kind == "parquet" else _csv(content, source)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        cut = kind == "parquet" and content[:4] == b"PAR1" and content[-4:] != b"PAR1"
        says = (
            f"not readable as {kind}, {'cut short' if cut else 'damaged or of another kind'} ({len(content):,} bytes)"
        )
        raise _refused(source, "unreadable", len(content), says) from error


def _parquet(content: bytes, source: str) -> pd.DataFrame:
    file = pq.ParquetFile(in_memory(content))
    cells = file.metadata.num_rows * file.metadata.num_columns
    if cells > MOST_CELLS:
        raise _refused(source, "too-large", cells, f"{cells:,} values, more than the {MOST_CELLS:,} that are read")
    # Without the metadata a pandas index is a column like any other: what is in the file is what is checked.
    return file.read().to_pandas(ignore_metadata=True)


def _csv(content: bytes, source: str) -> pd.DataFrame:
    _require_utf8(content, source)
    ragged: list[_Ragged] = []

    def collect(row: _Ragged) -> Literal["skip"]:
        ragged.append(row)
        return "skip"

    table = csv.read_csv(
        in_memory(content),
        parse_options=csv.ParseOptions(invalid_row_handler=collect),
        convert_options=csv.ConvertOptions(strings_can_be_null=True),
    )
    if ragged:
        first = ragged[0]
        says = (
            f"{len(ragged):,} lines without the header's {first.expected_columns} values, "
            f"such as one with {first.actual_columns}: {show(first.text)}"
        )
        raise _refused(source, "ragged-line", len(ragged), says)
    return table.to_pandas()


def _require_utf8(content: bytes, source: str) -> None:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        says = f"not UTF-8 text from byte {error.start + 1:,} in line {line:,} on ({len(content):,} bytes)"
        raise _refused(source, "encoding", len(content), f"{says}; save it as UTF-8") from error
    if zeros := text.count("\0"):
        raise _refused(source, "encoding", zeros, f"not text: {zeros:,} zero bytes; save it as UTF-8")


def _refused(source: str, rule: str, count: int, says: str) -> DataRefused:
    return DataRefused(source, [Finding("error", None, rule, count, (), f"the file as a whole: {says}")])
