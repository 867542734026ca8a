"""Check rows against a release's schema, a column at a time, and lay them out as the matrix that the model takes."""

from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.bundle.schema import BundleSchema
from ml.columns.arrow import Array, are_numbers, is_text, numbers
from ml.columns.fit import fits
from ml.columns.header import misnamed
from ml.columns.spelling import PLAIN_NUMBER
from ml.errors import InputRefused
from ml.problem.domain import Domain

__all__ = ["Checked", "Mistake", "RowReader", "identifier_type"]

SHOWN_CHARACTERS: Final = 60


class Mistake(NamedTuple):
    """What is wrong in one row of a batch; rows count from 0."""

    row: int
    column: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"column {self.column}: expected {self.expected}, got {self.got}"


class Checked(NamedTuple):
    """A batch as a matrix (rows, features) and its identifiers; where `fits` (rows,) is False they mean nothing."""

    matrix: np.ndarray
    identifiers: pa.RecordBatch
    fits: np.ndarray
    mistakes: list[Mistake]


class RowReader:
    """Reads batches that have the release's features and the identifiers among their columns."""

    def __init__(self, schema: BundleSchema, identifiers: Sequence[str]) -> None:
        self._domains = {feature.name: feature.domain for feature in schema.features}
        self.identifiers = tuple(identifiers)
        # As a request is read: missing numbers need a float; the model was trained on integers where there are none.
        nullable = any(domain.nullable for domain in self._domains.values())
        self._dtype: type[np.float64 | np.int64] = np.float64 if nullable else np.int64

    @property
    def columns(self) -> list[str]:
        """Every column that is read, each once."""
        return list(dict.fromkeys([*self.identifiers, *self._domains]))

    def demand(self, schema: pa.Schema, where: str, *, texts: Collection[str] = ()) -> None:
        """InputRefused for a file whose columns can't be read, whatever its rows hold.

        The columns `texts` are text because there is nothing else where they are from: CSV, or a folder's name.
        """
        if says := misnamed(schema.names, self.columns):
            hint = " Name the identifier with --identifier." if not set(self.identifiers) <= set(schema.names) else ""
            raise InputRefused(f"{where}: {says}{hint}")
        for name, domain in self._domains.items():
            kind = schema.field(name).type
            if not (are_numbers(kind) or (is_text(kind) and name in texts)):
                raise InputRefused(
                    f"{where}: column {name}: expected {domain.expected}, but the column holds {kind}. "
                    "Write it as integers."
                )

    def check(self, batch: pa.RecordBatch, identifiers: pa.Schema) -> Checked:
        """Check every value of a batch; `identifiers` has their types, in which they are returned."""
        matrix = np.zeros((batch.num_rows, len(self._domains)), dtype=self._dtype)
        fitting = np.ones(batch.num_rows, dtype=bool)
        mistakes: list[Mistake] = []
        for place, (name, domain) in enumerate(self._domains.items()):
            column = batch.column(name)
            values, good = _read(column, domain)
            if good.all():
                matrix[:, place] = values
                continue
            matrix[good, place] = values[good]
            fitting &= good
            mistakes += _mistakes(column, name, domain.expected, ~good)
        names: list[Array] = []
        for field in identifiers:
            column = _present(batch.column(field.name))
            typed, wanted = _identifier(column, field.type)
            names.append(typed)
            if typed.null_count:
                missing = typed.is_null().to_numpy(zero_copy_only=False)
                fitting &= ~missing
                mistakes += _mistakes(column, field.name, wanted, missing)
        mistakes.sort(key=lambda mistake: mistake.row)
        return Checked(matrix, pa.RecordBatch.from_arrays(names, schema=identifiers), fitting, mistakes)


def identifier_type(column: Array) -> pa.DataType:
    """What the identifiers of an input are whose first ones these are: text that is all whole numbers is numbers."""
    if not is_text(column.type):
        return column.type
    present = column.drop_null()
    plain = pc.all(pc.match_substring_regex(present, PLAIN_NUMBER)).as_py()
    return pa.int64() if len(present) and plain else pa.string()


def _read(column: Array, domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """The values (rows,), and where they fit."""
    found = numbers(column)
    good = fits(domain, found.values)
    if domain.nullable and found.missing is not None:
        good |= found.missing
    return found.values, good


def _identifier(column: Array, kind: pa.DataType) -> tuple[Array, str]:
    """The column in that type, null where it can't be, and what was expected there."""
    if not is_text(column.type) or kind == column.type:
        return (column if column.type == kind else column.cast(kind)), "an identifier"
    plain = pc.match_substring_regex(column, PLAIN_NUMBER)
    return pc.if_else(plain, column, None).cast(kind), "an identifier, a whole number as those before it"


def _present(column: Array) -> Array:
    """The column; text that says nothing is missing."""
    if not is_text(column.type):
        return column
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), cast(Any, "")), None, column)


def _mistakes(column: Array, name: str, wanted: str, bad: np.ndarray) -> Iterator[Mistake]:
    for row in np.flatnonzero(bad).tolist():
        yield Mistake(row, name, wanted, _shown(column[row].as_py()))


def _shown(value: object) -> str:
    if value is None or value != value:
        return "nothing"
    text = str(value) if isinstance(value, Decimal) else ascii(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
