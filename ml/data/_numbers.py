"""The columns of a problem as pandas has numbers, read as every other reader reads them."""

from collections.abc import Collection
from typing import Any, Final, TypeAlias, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.columns.arrow import Array, Numbers, are_numbers, numbers, plain
from ml.columns.spelling import PLAIN_NUMBER
from ml.problem import Problem
from ml.problem.domain import LARGEST, whole

__all__ = ["Values", "as_numbers", "whole_numbers"]

Values: TypeAlias = "pd.Series[Any]"

LARGEST_INTEGER: Final = 2**63 - 1


def as_numbers(problem: Problem, table: pa.Table, texts: Collection[str]) -> pd.DataFrame:
    """A file's table, each column of the problem as numbers where they are all that it holds.

    The columns `texts` are text because there is nothing else where they are from: of one that holds something else
    too, what is a number is one, and the rest stays text. Columns that are no numbers by their type stay what they are.
    """
    mixed: dict[int, Values] = {}
    for place, name in enumerate(table.column_names):
        if name not in problem.columns:
            continue
        column, is_text = plain(table.column(place).combine_chunks()), name in texts
        if is_text and name == problem.identifier:
            column = _identifiers(column, place, mixed)
        elif is_text or (are_numbers(column.type) and not pa.types.is_integer(column.type)):
            found = numbers(column)
            if pa.types.is_floating(column.type) or not found.wrong.any():
                column = pa.array(found.values)
            elif is_text:
                mixed[place] = _mixed(column, found)
        table = table.set_column(place, name, column)
    # Without the metadata a pandas index is a column like any other: what is in the file is what is checked.
    frame = table.to_pandas(ignore_metadata=True)
    for place, values in mixed.items():
        frame.isetitem(place, cast(Any, values))
    return frame


def whole_numbers(values: Values) -> Values:
    """The values as numbers, NaN for what isn't a whole number that an int64 can hold."""
    if pd.api.types.is_signed_integer_dtype(values):
        return values
    if pd.api.types.is_bool_dtype(values):
        return pd.Series(float("nan"), index=values.index)
    if pd.api.types.is_unsigned_integer_dtype(values):
        return values.where(values <= LARGEST_INTEGER)
    if pd.api.types.is_float_dtype(values):
        return values.where((values % 1 == 0) & (values.abs() <= LARGEST))
    found = [_within(whole(value)) for value in values.astype(object)]
    kind = np.float64 if any(number is None for number in found) else np.int64
    return pd.Series(np.array(found, dtype=kind), index=values.index)


def _within(number: int | None) -> int | None:
    return number if number is not None and abs(number) <= LARGEST_INTEGER else None


def _identifiers(texts: Array, place: int, mixed: dict[int, Values]) -> Array:
    """Names that are their numbers; where one isn't, or is another's with zeros before it, that one stays text."""
    texts = pc.utf8_trim(texts, " \t")
    is_plain = pc.match_substring_regex(texts, PLAIN_NUMBER)
    if not pc.all(is_plain).as_py():
        pairs = zip(cast(list[Any], texts.to_pylist()), is_plain.to_pylist(), strict=True)
        mixed[place] = pd.Series([int(text) if is_number else text for text, is_number in pairs], dtype=object)
        return texts
    return texts.cast(pa.int64())


def _mixed(texts: Array, found: Numbers) -> Values:
    """What is a number as one, what is missing as nothing, the rest as the text that it is."""
    rows = zip(texts.to_pylist(), found.values.tolist(), found.wrong.tolist(), strict=True)
    values = [text if is_wrong else None if value != value else int(value) for text, value, is_wrong in rows]
    return pd.Series(values, dtype=object)
