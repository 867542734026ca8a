"""A column of Arrow as numbers, whatever its type."""

from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.columns.spelling import cell

__all__ = ["Array", "Numbers", "are_numbers", "constant", "is_text", "numbers", "plain"]

Array: TypeAlias = "pa.Array[Any]"


class Numbers(NamedTuple):
    """`values` (rows,) are int64, or float64 with NaN for what is missing and for what is no number.

    `missing` (rows,) says which are missing, None where none is.
    """

    values: np.ndarray
    missing: np.ndarray | None

    @property
    def wrong(self) -> np.ndarray:
        """For each row whether it holds something that is no whole number."""
        if self.values.dtype.kind != "f":
            return np.zeros(len(self.values), dtype=bool)
        wrong = ~np.isfinite(self.values) | (self.values != np.floor(self.values))
        return wrong if self.missing is None else wrong & ~self.missing


def are_numbers(kind: pa.DataType) -> bool:
    """Whether values of a type are numbers: integers, floats and decimals, and what is nothing at all."""
    kind = _inner(kind)
    return (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def plain(column: Array) -> Array:
    """The column without an encoding of its values: a dictionary, or runs of the same."""
    while isinstance(column, pa.DictionaryArray):
        column = cast(Array, column.dictionary_decode())
    return (
        cast(Array, pc.call_function("run_end_decode", [column]))
        if pa.types.is_run_end_encoded(column.type)
        else column
    )


def constant(value: Any, rows: int) -> Array:
    """A column that says the same in every row."""
    return pa.nulls(rows) if value is None else pa.repeat(value, rows)


def numbers(column: Array) -> Numbers:
    """The values of a column for whose type `are_numbers` holds, or of text that is read as CSV has it."""
    column = plain(column)
    if is_text(column.type):
        return _of_text(column)
    if pa.types.is_floating(column.type):
        return _of_floats(column)
    if pa.types.is_null(column.type):
        return Numbers(np.full(len(column), np.nan), np.ones(len(column), dtype=bool))
    whole = True
    if pa.types.is_decimal(column.type):
        column = _wide(column)
        whole = cast(Array, pc.equal(column, pc.floor(column)))
    if not column.null_count:
        try:
            return Numbers(column.cast(pa.int64()).to_numpy(zero_copy_only=False), None)
        except pa.ArrowInvalid:  # a fraction, or more than an int64 holds: more than any domain has
            pass
    floats = column.cast(pa.float64(), safe=False)
    kept = floats if whole is True else pc.if_else(whole, floats, None)
    missing = _nulls(column) if column.null_count else None
    return Numbers(kept.fill_null(float("nan")).to_numpy(zero_copy_only=False), missing)


def _of_floats(column: Array) -> Numbers:
    values = column.cast(pa.float64()).fill_null(float("nan")).to_numpy(zero_copy_only=False) + 0.0  # -0.0 is 0
    missing = np.isnan(values)
    return Numbers(values, missing if missing.any() else None)


def _of_text(texts: Array) -> Numbers:
    if pa.types.is_string_view(texts.type):
        texts = texts.cast(pa.large_string())
    if not texts.null_count and not _may_be_hexadecimal(texts):
        try:
            return Numbers(texts.cast(pa.int64()).to_numpy(zero_copy_only=False), None)  # what nearly every column is
        except pa.ArrowInvalid:
            pass
    encoded = texts.dictionary_encode()
    found = [*map(cell, cast(list[str], encoded.dictionary.to_pylist())), None]
    values = np.array([each if isinstance(each, float) else np.nan for each in found]) + 0.0
    absent = np.array([each is None for each in found])
    places = encoded.indices.fill_null(len(found) - 1).to_numpy(zero_copy_only=False)
    missing = absent[places]
    return Numbers(values[places], missing if missing.any() else None)


def _may_be_hexadecimal(texts: Array) -> bool:
    """Whether an x is among them: Arrow takes 0x10 for 16."""
    kind = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offsets, data = texts.buffers()
    if offsets is None or data is None or not len(texts):
        return False
    ends = np.frombuffer(memoryview(offsets), kind)
    held = bytes(memoryview(data)[ends[texts.offset] : ends[texts.offset + len(texts)]])
    return b"x" in held or b"X" in held


def _wide(column: Array) -> Array:
    """A decimal of 128 bits or more: Arrow 25 can't cast narrower ones to integers."""
    kind = column.type
    if pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind):
        return column.cast(pa.decimal128(38, kind.scale))
    return column


def _nulls(column: Array) -> np.ndarray:
    return column.is_null().to_numpy(zero_copy_only=False)


def _inner(kind: pa.DataType) -> pa.DataType:
    while pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    return kind
