"""Check rows against a release's schema, a column at a time, and lay them out as the matrix that the model takes."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.errors import InputRefused
from ml.problem import Categorical, Feature
from ml.release.schema import BundleSchema
from ml.serving.schema import expected

__all__ = ["Array", "Checked", "Mistake", "RowReader", "constant", "identifier_type"]

Array: TypeAlias = "pa.Array[Any]"

SHOWN_CHARACTERS: Final = 60
# A whole number as text; more digits than a float holds exactly are out of every range anyway.
WHOLE_NUMBER: Final = r"^\s*[+-]?[0-9]{1,15}(\.0*)?\s*$"
# An identifier that is its number: 007 and 7 are two names.
PLAIN_NUMBER: Final = r"^(-?[1-9][0-9]{0,17}|0)$"


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
        self._features = schema.features
        self.identifiers = tuple(identifiers)
        # As a request is read: missing numbers need a float; the model was trained on integers where there are none.
        nullable = any(feature.nullable for feature in schema.features)
        self._dtype: type[np.float64 | np.int64] = np.float64 if nullable else np.int64
        self._codes = {
            f.name: np.array(sorted(f.codes), dtype=np.int64) for f in schema.features if isinstance(f, Categorical)
        }

    @property
    def columns(self) -> list[str]:
        """Every column that is read, each once."""
        return list(dict.fromkeys([*self.identifiers, *(feature.name for feature in self._features)]))

    def demand(self, schema: pa.Schema, where: str, *, is_text: bool = False) -> None:
        """InputRefused for a file whose columns can't be read, whatever its rows hold; CSV `is_text`."""
        names = schema.names
        if missing := [name for name in self.columns if name not in names]:
            kind = "column" if len(missing) == 1 else "columns"
            hint = " Name the identifier with --identifier." if set(missing) & set(self.identifiers) else ""
            raise InputRefused(f"{where}: the {kind} {', '.join(missing)} is missing; it has {_some(names)}.{hint}")
        if doubled := [name for name in self.columns if names.count(name) > 1]:
            raise InputRefused(f"{where}: the column {doubled[0]} is there {names.count(doubled[0])} times.")
        for feature in self._features:
            if not is_text and not _is_readable(schema.field(feature.name).type):
                raise InputRefused(
                    f"{where}: column {feature.name}: expected {expected(feature)}, "
                    f"but the column holds {schema.field(feature.name).type}."
                )

    def check(self, batch: pa.RecordBatch, identifiers: pa.Schema) -> Checked:
        """Check every value of a batch; `identifiers` has their types, in which they are returned."""
        matrix = np.zeros((batch.num_rows, len(self._features)), dtype=self._dtype)
        fits = np.ones(batch.num_rows, dtype=bool)
        mistakes: list[Mistake] = []
        for place, feature in enumerate(self._features):
            column = _present(batch.column(feature.name))
            values, good = self._read(column, feature)
            if good.all():
                matrix[:, place] = values
                continue
            matrix[good, place] = values[good]
            fits &= good
            mistakes += _mistakes(column, feature.name, expected(feature), ~good)
        names: list[Array] = []
        for field in identifiers:
            column = _present(batch.column(field.name))
            typed, wanted = _identifier(column, field.type)
            names.append(typed)
            if typed.null_count:
                missing = typed.is_null().to_numpy(zero_copy_only=False)
                fits &= ~missing
                mistakes += _mistakes(column, field.name, wanted, missing)
        mistakes.sort(key=lambda mistake: mistake.row)
        return Checked(matrix, pa.RecordBatch.from_arrays(names, schema=identifiers), fits, mistakes)

    def _read(self, column: Array, feature: Feature) -> tuple[np.ndarray, np.ndarray]:
        """The values (rows,), and where they fit."""
        values = _numbers(column)
        if isinstance(feature, Categorical):
            good = np.isin(values, self._codes[feature.name])
        else:
            good = (values >= feature.minimum) & (values <= feature.maximum)
            if values.dtype.kind == "f":
                good &= values == np.floor(values)
        if feature.nullable and column.null_count + int(np.isnan(values).any() if values.dtype.kind == "f" else 0):
            good |= _is_missing(column)
        return values, good


def constant(value: Any, rows: int) -> Array:
    """A column that says the same in every row."""
    return pa.nulls(rows) if value is None else pa.repeat(value, rows)


def identifier_type(column: Array) -> pa.DataType:
    """What the identifiers of an input are whose first ones these are: text that is all whole numbers is numbers."""
    if not _is_text(column.type):
        return column.type
    present = column.drop_null()
    plain = pc.all(pc.match_substring_regex(present, PLAIN_NUMBER)).as_py()
    return pa.int64() if len(present) and plain else pa.string()


def _identifier(column: Array, kind: pa.DataType) -> tuple[Array, str]:
    """The column in that type, null where it can't be, and what was expected there."""
    if not _is_text(column.type) or kind == column.type:
        return (column if column.type == kind else column.cast(kind)), "an identifier"
    plain = pc.match_substring_regex(column, PLAIN_NUMBER)
    return pc.if_else(plain, column, None).cast(kind), "an identifier, a whole number as those before it"


def _present(column: Array) -> Array:
    """The column; text that says nothing is missing."""
    if not _is_text(column.type):
        return column
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), cast(Any, "")), None, column)


def _numbers(column: Array) -> np.ndarray:
    """The column as int64, or as float64 where it has fractions or gaps; NaN for what is no number."""
    if isinstance(column, pa.DictionaryArray):
        column = cast(Array, column.dictionary_decode())
    if _is_text(column.type):
        column = _parsed(column)
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    if pa.types.is_integer(column.type) and not column.null_count:
        # An uint64 past the int64s is out of every range, as a float too.
        wanted = pa.float64() if pa.types.is_uint64(column.type) else pa.int64()
        return column.cast(wanted, safe=False).to_numpy(zero_copy_only=False)
    floats = column.cast(pa.float64(), safe=False)
    return floats.fill_null(float("nan")).to_numpy(zero_copy_only=False)


def _parsed(texts: Array) -> Array:
    try:
        return texts.cast(pa.int64())  # what nearly every column is
    except pa.ArrowInvalid:
        whole = pc.match_substring_regex(texts, WHOLE_NUMBER)
        return pc.if_else(whole, pc.utf8_trim_whitespace(texts), None).cast(pa.float64())


def _is_missing(column: Array) -> np.ndarray:
    return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type)).to_numpy(zero_copy_only=False)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_readable(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)


def _mistakes(column: Array, name: str, wanted: str, bad: np.ndarray) -> Iterator[Mistake]:
    for row in np.flatnonzero(bad).tolist():
        yield Mistake(row, name, wanted, _shown(column[row].as_py()))


def _shown(value: object) -> str:
    if value is None or value != value:
        return "nothing"
    text = ascii(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _some(names: list[str]) -> str:
    return ", ".join(names[:30]) + (", …" if len(names) > 30 else "") if names else "no columns"
