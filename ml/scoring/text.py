"""CSV files as a source: parts are stretches of whole lines, so a large file is resumed in the middle."""

from collections.abc import Callable, Iterator
from typing import IO, Any, Final, Literal, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from ml.arrow import in_memory
from ml.columns.arrow import Array, constant
from ml.columns.header import broken_value, fault, header, undecodable
from ml.errors import InputRefused
from ml.inputs.files import DataFile, Files, Format, place
from ml.scoring.rows import RowReader, identifier_type
from ml.scoring.source import Batch, Part

__all__ = ["CsvSource"]

SAMPLE_BYTES: Final = 256 * 1024
MAXIMUM_PART_BYTES: Final = 32 * 1024 * 1024
MAXIMUM_LINE_BYTES: Final = 1024 * 1024


class _Broken(Protocol):
    """What pyarrow, which has no types for it, says of a line with too few or too many values."""

    expected_columns: int
    actual_columns: int
    number: int | None


class CsvSource:
    """See Source. A comma separates values, a first line names them, no value holds a line break."""

    def __init__(self, found: Files, reader: RowReader, rows_per_part: int) -> None:
        self.uri = found.uri
        self.format: Format = "csv"
        self.version: int | None = None
        self._found = found
        self._reader = reader
        self._paths = {file.name: file.path for file in found.files}
        self._headers: dict[str, list[str]] = {}
        self._rows_before: dict[str, tuple[int, int]] = {}  # of a file: so many rows before that byte
        parts: list[Part] = []
        for file in found.files:
            parts += self._looked_through(file, rows_per_part, len(parts))
        self.parts = tuple(parts)
        self.schema = self._identifiers()

    def read(self, part: Part, batch_rows: int) -> Iterator[Batch]:
        """See Source."""
        with self._opened(part.file) as file:
            file.seek(part.start)
            content = file.read(part.end - part.start)
        table, numbers, broken = self._parsed(part, content)
        self._count(part, len(numbers) + len(broken))
        for start in range(0, max(len(numbers), 1), batch_rows):
            rows = table.slice(start, batch_rows).combine_chunks()
            arrays = [self._column(rows, name, part) for name in self._reader.columns]
            batch = pa.RecordBatch.from_arrays(arrays, names=self._reader.columns)
            yield Batch(batch, numbers[start : start + batch_rows], broken if start == 0 else [])

    def first_row(self, part: Part) -> int:
        """See Source; counts the lines before the part where this process has not read them."""
        rows, at = self._rows_before.get(part.file, (0, self._first_byte(part.file)))
        if at > part.start:
            rows, at = 0, self._first_byte(part.file)
        with self._opened(part.file) as file:
            file.seek(at)
            while at < part.start:
                block = file.read(min(MAXIMUM_PART_BYTES, part.start - at))
                rows += sum(1 for line in block.split(b"\n") if line.strip(b"\r")) if block else 0
                at += len(block)
        return rows

    def _count(self, part: Part, rows: int) -> None:
        before, at = self._rows_before.get(part.file, (0, self._first_byte(part.file)))
        if at == part.start:
            self._rows_before[part.file] = (before + rows, part.end)

    def _first_byte(self, name: str) -> int:
        return min(part.start for part in self.parts if part.file == name)

    def _looked_through(self, file: DataFile, rows_per_part: int, number: int) -> list[Part]:
        where = place(self.uri, file.name)
        with self._opened(file.name) as opened:
            first = opened.readline(MAXIMUM_LINE_BYTES)
            head = _header(first, where)
            names = [*head, *(name for name in file.constants if name not in head)]
            self._reader.demand(pa.schema([(name, pa.string()) for name in names]), where, texts=names)
            self._headers[file.name] = head
            start = len(first)
            sample = opened.read(SAMPLE_BYTES)
            line = max(1.0, len(sample) / max(1, sample.count(b"\n")))
            step = max(1, min(MAXIMUM_PART_BYTES, int(rows_per_part * line)))
            parts: list[Part] = []
            while True:
                end = _line_end(opened, start + step, file.bytes, where)
                parts.append(
                    Part(
                        number=number + len(parts),
                        file=file.name,
                        weight=end - start,
                        changed=f"{file.bytes} {file.changed}",
                        constants={k: v for k, v in file.constants.items() if k not in head},
                        start=start,
                        end=end,
                    )
                )
                start = end
                if start >= file.bytes:
                    return parts

    def _parsed(self, part: Part, content: bytes) -> tuple[pa.Table, np.ndarray, list[tuple[int, str]]]:
        names = self._headers[part.file]
        wanted = [name for name in self._reader.columns if name in names]
        if not content.strip():
            return pa.table({name: pa.array([], pa.string()) for name in wanted}), np.arange(0), []
        self._require_lines(part, content)
        broken: list[tuple[int, str]] = []
        try:
            table = pacsv.read_csv(
                in_memory(content),
                # One thread, or a broken line doesn't know its number.
                pacsv.ReadOptions(use_threads=False, column_names=names, block_size=max(len(content), 1)),
                pacsv.ParseOptions(invalid_row_handler=_collector(broken)),
                pacsv.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowException as error:
            raise InputRefused(f"{place(self.uri, part.file)}: can't be read as CSV: {error}") from error
        every = np.arange(table.num_rows + len(broken))
        return table, np.delete(every, [number for number, _ in broken]), broken

    def _require_lines(self, part: Part, content: bytes) -> None:
        """InputRefused where a part's lines aren't text, or aren't rows."""
        if (at := undecodable(content)) is not None:
            line, says = content.count(b"\n", 0, at), "not UTF-8. Save the file as UTF-8."
        elif (found := broken_value(content)) is not None:
            line, says = (
                found,
                "a quoted value is not closed on its line. Write the file without line breaks in values.",
            )
        else:
            return
        row = self.first_row(part) + line
        raise InputRefused(f"{place(self.uri, part.file)}: row {row:,}, counted from 0: {says}")

    def _column(self, rows: pa.Table, name: str, part: Part) -> Array:
        if name not in rows.schema.names:
            return constant(part.constants[name], rows.num_rows)
        column = rows.column(name)
        return cast(Array, column.chunk(0) if column.num_chunks else pa.array([], pa.string()))

    def _identifiers(self) -> pa.Schema:
        """Whole numbers where the first part has nothing else, text otherwise."""
        first = self.parts[0]
        batch = next(self.read(first, 1000)).rows
        self._rows_before.clear()
        return pa.schema([(name, identifier_type(batch.column(name))) for name in self._reader.identifiers])

    def _opened(self, name: str) -> IO[bytes]:
        try:
            return cast(IO[bytes], self._found.filesystem.open(self._paths[name], "rb"))
        except OSError as error:
            raise InputRefused(f"{place(self.uri, name)}: can't be read: {error}") from error


def _collector(broken: list[tuple[int, str]]) -> Callable[[Any], Literal["skip"]]:
    def collect(row: _Broken) -> Literal["skip"]:
        number = (row.number or 1) - 1
        broken.append((number, f"expected {row.expected_columns} values, got {row.actual_columns}"))
        return "skip"

    return collect


def _header(line: bytes, where: str) -> list[str]:
    if not line.strip():
        raise InputRefused(f"{where}: the file is empty; a CSV file begins with a line that names its columns.")
    if says := fault(line):
        raise InputRefused(f"{where}: {says}.")
    try:
        return header(line)
    except UnicodeDecodeError as error:
        raise InputRefused(
            f"{where}: its first line is not UTF-8: byte {error.start + 1}. Save it as UTF-8."
        ) from error
    except ValueError as error:
        raise InputRefused(f"{where}: {error}.") from error


def _line_end(file: IO[bytes], at: int, size: int, where: str) -> int:
    """Where the line of byte `at` ends, or the file."""
    if at >= size:
        return size
    file.seek(at - 1)
    line = file.readline(MAXIMUM_LINE_BYTES)
    if not line.endswith(b"\n") and at - 1 + len(line) < size:
        raise InputRefused(f"{where}: the line at byte {at:,} is longer than {MAXIMUM_LINE_BYTES:,} bytes.")
    return at - 1 + len(line)
