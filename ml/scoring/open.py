"""Which reader an input has."""

from ml.inputs.files import Format, find_files
from ml.scoring.parquet import ParquetSource
from ml.scoring.rows import RowReader
from ml.scoring.source import Source
from ml.scoring.text import CsvSource

__all__ = ["open_source"]


def open_source(
    uri: str, reader: RowReader, rows_per_part: int, format_: Format | None = None, version: int | None = None
) -> Source:
    """Look through an input; InputRefused where its files can't be read or lack a column, before a row is read.

    `version` is that of a Delta table, by default its newest.
    """
    found = find_files(uri, format_)
    if found.format == "csv":
        return CsvSource(found, reader, rows_per_part)
    if found.format == "delta":
        from ml.inputs.delta import delta_files

        found, version = delta_files(found, version)
        return ParquetSource(found, reader, rows_per_part, version)
    return ParquetSource(found, reader, rows_per_part, None)
