"""Parquet files as a source: parts are whole row groups, read page by page."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from ml.columns.arrow import constant
from ml.errors import InputRefused
from ml.inputs.files import DataFile, Files, Format, place
from ml.scoring.rows import RowReader
from ml.scoring.source import Batch, Part

__all__ = ["ParquetSource"]

BUFFER_BYTES: Final = 1024 * 1024


class ParquetSource:
    """See Source."""

    def __init__(self, found: Files, reader: RowReader, rows_per_part: int, version: int | None) -> None:
        self.uri = found.uri
        self.format: Format = found.format
        self.version = version
        self._found = found
        self._columns = reader.columns
        self._paths = {file.name: file.path for file in found.files}
        self.schema = pa.schema([])
        parts: list[Part] = []
        for file in found.files:
            parts += self._looked_through(file, reader, rows_per_part, len(parts))
        if not parts:
            raise InputRefused(f"The input {self.uri} holds no file: the table is empty.")
        self.parts = tuple(parts)

    def read(self, part: Part, batch_rows: int) -> Iterator[Batch]:
        """See Source."""
        number = 0
        with self._opened(part.file) as file:
            there = [name for name in self._columns if name in file.schema_arrow.names]
            for rows in file.iter_batches(batch_rows, row_groups=list(part.groups), columns=there, use_threads=False):
                whole = self._with_constants(rows, part.constants)
                yield Batch(whole, np.arange(number, number + rows.num_rows), [])
                number += rows.num_rows

    def first_row(self, part: Part) -> int:
        """See Source."""
        return part.first_row

    def _looked_through(self, file: DataFile, reader: RowReader, rows_per_part: int, number: int) -> list[Part]:
        with self._opened(file.name) as opened:
            metadata, schema = opened.metadata, opened.schema_arrow
        constants = {name: value for name, value in file.constants.items() if name not in schema.names}
        for name, value in constants.items():
            schema = schema.append(pa.field(name, constant(value, 0).type))
        reader.demand(schema, place(self.uri, file.name), texts=constants)
        self._agree(schema, file.name, reader)
        parts: list[Part] = []
        groups: list[int] = []
        rows = first = weight = 0
        for index in range(metadata.num_row_groups):
            group = metadata.row_group(index)
            if groups and rows + group.num_rows > rows_per_part:
                parts.append(_part(number + len(parts), file, constants, groups, first, weight))
                groups, first, rows, weight = [], first + rows, 0, 0
            groups.append(index)
            rows += group.num_rows
            weight += group.total_byte_size
        return [*parts, _part(number + len(parts), file, constants, groups, first, weight)]

    def _agree(self, schema: pa.Schema, name: str, reader: RowReader) -> None:
        """All files have identifiers of one type; the features are read whatever numbers they are."""
        kept = pa.schema([pa.field(column, schema.field(column).type) for column in reader.identifiers])
        if not self.schema.names:
            self.schema = kept
        elif not kept.equals(self.schema):
            raise InputRefused(
                f"{place(self.uri, name)}: its identifiers are {_shown(kept)}, "
                f"but {_shown(self.schema)} in the files before."
            )

    def _with_constants(self, rows: pa.RecordBatch, constants: dict[str, Any]) -> pa.RecordBatch:
        arrays = [
            rows.column(name) if name in rows.schema.names else constant(constants[name], rows.num_rows)
            for name in self._columns
        ]
        return pa.RecordBatch.from_arrays(arrays, names=self._columns)

    @contextmanager
    def _opened(self, name: str) -> Generator[pq.ParquetFile]:
        path, filesystem = self._paths[name], self._found.filesystem
        try:
            source: Any = path if isinstance(filesystem, LocalFileSystem) else filesystem.open(path, "rb")
            with pq.ParquetFile(source, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            raise InputRefused(f"{place(self.uri, name)}: can't be read as parquet: {error}") from error


def _part(
    number: int, file: DataFile, constants: dict[str, Any], groups: list[int], first_row: int, weight: int
) -> Part:
    return Part(
        number=number,
        file=file.name,
        weight=weight,
        changed=f"{file.bytes} {file.changed}",
        constants=constants,
        groups=tuple(groups),
        first_row=first_row,
    )


def _shown(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)
