"""Read rows that other protocols send as records, lists, columns or tensors, into the matrix that a native row gives.

What travels through pandas, protobuf or numpy may have made 45 into 45.0, so a whole float counts as the integer here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Annotated, Any, Final, NoReturn

import msgspec
import numpy as np

from ml.columns.spelling import cell
from ml.model.requests import Mistake, RequestRefused, Rows, decoded, misfit, mistakes_of, shown
from ml.problem import Feature

__all__ = ["LISTS", "TableReader"]

LISTS: Final = re.compile(rb"\s*\[\s*\[")
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class TableReader:
    """Reads tables of one release; RequestRefused names row, column and what was expected."""

    def __init__(self, features: tuple[Feature, ...], dtype: type[np.generic], maximum_rows: int) -> None:
        self.features = features
        self.names = [feature.name for feature in features]
        self._dtype = dtype
        self._maximum_rows = maximum_rows
        self._nullable = np.array([feature.nullable for feature in features])
        self._domains = {feature.name: feature.domain for feature in features}
        domains = list(self._domains.values())
        self._low = np.array([domain.minimum for domain in domains], dtype=np.float64)
        self._high = np.array([domain.maximum for domain in domains], dtype=np.float64)
        self._gapped = {place: np.array(domain.codes) for place, domain in enumerate(domains) if domain.has_gaps}
        record = msgspec.defstruct(
            "Record",
            [(f"column_{i}", float | None) for i in range(len(features))],
            rename={f"column_{i}": name for i, name in enumerate(self.names)},
            forbid_unknown_fields=True,
            gc=False,
        )
        values = Annotated[list[float | None], msgspec.Meta(min_length=len(features), max_length=len(features))]
        self._records = msgspec.json.Decoder(list[record])  # pyright: ignore[reportInvalidTypeForm]
        self._lists = msgspec.json.Decoder(list[values])
        self._columns = msgspec.json.Decoder(dict[str, list[float | None]])

    def rows(self, data: bytes) -> Rows:
        """A JSON list of rows, each an object, column to value, or a list of values in the order of the columns."""
        return self.lists(data) if LISTS.match(data) else self._records_of(data)

    def lists(self, data: bytes, columns: Sequence[str] | None = None) -> Rows:
        """A JSON list of lists of values, in the order of `columns`; by default in the order of the release's."""
        order = self._order(columns) if columns is not None else None
        try:
            values = self._lists.decode(data)
        except UNREADABLE:
            self._refuse(self._labelled(decoded(data), columns or self.names))
        self._check_count(len(values))
        matrix = np.array(values, dtype=np.float64)
        return self.matrix(matrix if order is None else matrix[:, order])

    def columns(self, data: bytes) -> Rows:
        """A JSON object, column to list of values."""
        try:
            columns = self._columns.decode(data)
        except UNREADABLE:
            columns = self._lists_by_column(decoded(data))
        return self.listed(columns)

    def listed(self, columns: Mapping[str, list[Any]]) -> Rows:
        """Column to list of what JSON has, whatever that is."""
        rows = self._check_lengths(columns)
        values = [list(row) for row in zip(*columns.values(), strict=True)]
        if not _are_numbers(values):
            self._refuse([dict(zip(columns, row, strict=True)) for row in values])
        try:
            matrix = np.array(values, dtype=np.float64).reshape(rows, -1)
        except OverflowError:
            self._refuse([dict(zip(columns, row, strict=True)) for row in values])
        return self.matrix(matrix[:, self._order(list(columns))])

    def arrays(self, columns: Mapping[str, np.ndarray]) -> Rows:
        """Column to array of numbers (rows,)."""
        self._check_lengths(columns)
        return self.matrix(np.column_stack([columns[name] for name in self.names]))

    def texts(self, rows: Sequence[Sequence[str]], columns: Sequence[str] | None) -> Rows:
        """Rows of text, as a CSV file has them."""
        order = self._order(columns) if columns is not None else None
        self._check_count(len(rows))
        names = columns or self.names
        values = [[cell(text) for text in row] for row in rows]
        if not all(len(row) == len(names) for row in values) or not _are_numbers(values):
            self._refuse(self._labelled(values, names))
        matrix = np.array(values, dtype=np.float64)
        return self.matrix(matrix if order is None else matrix[:, order])

    def matrix(self, values: np.ndarray) -> Rows:
        """Floats (rows, columns) in the order of the release's columns; NaN is a missing value."""
        self._check_count(len(values))
        fits = (values >= self._low) & (values <= self._high) & (values == np.floor(values))
        for column, codes in self._gapped.items():
            fits[:, column] &= np.isin(values[:, column], codes)
        fits |= np.isnan(values) & self._nullable
        if not fits.all():
            raise misfit(self._mistakes(values, fits))
        # As floats -0.0 becomes 0, which it is as an integer anyway.
        return Rows(values + 0.0 if self._dtype is np.float64 else values.astype(self._dtype))

    def _records_of(self, data: bytes) -> Rows:
        try:
            records = self._records.decode(data)
        except UNREADABLE:
            self._refuse(decoded(data))
        self._check_count(len(records))
        return self.matrix(np.array([msgspec.structs.astuple(record) for record in records], dtype=np.float64))

    def _lists_by_column(self, value: object) -> dict[str, list[Any]]:
        if not isinstance(value, dict):
            raise RequestRefused(422, "The inputs must be a JSON object, column to list of values.")
        if bare := [str(name) for name, column in value.items() if not isinstance(column, list)]:
            raise RequestRefused(422, f"The inputs of {_cited(bare)} must be lists, one value per row.")
        return value

    def _order(self, columns: Sequence[str]) -> list[int]:
        """Where each of the release's columns stands among `columns`."""
        places = {name: place for place, name in enumerate(columns)}
        if len(places) != len(columns):
            twice = sorted({name for name in columns if list(columns).count(name) > 1})
            raise RequestRefused(422, f"The columns {_cited(twice)} are named twice.")
        if places.keys() != set(self.names):
            typical = {name: domain.minimum for name, domain in self._domains.items()}  # only the names are at fault
            raise misfit(mistakes_of(self._domains, [{name: typical.get(name) for name in columns}]))
        return [places[name] for name in self.names]

    def _check_lengths(self, columns: Mapping[str, Sized]) -> int:
        """How many rows columns have, once all are there and equally long."""
        self._order(list(columns))
        lengths = {len(column) for column in columns.values()}
        if len(lengths) > 1:
            raise RequestRefused(422, f"The columns are not equally long: {_cited(sorted(lengths))} values.")
        rows = lengths.pop()
        self._check_count(rows)
        return rows

    def _refuse(self, rows: object) -> NoReturn:
        if not isinstance(rows, list):
            raise RequestRefused(422, f"The rows must be a JSON list, got {shown(rows)}.")
        self._check_count(len(rows))
        raise misfit(mistakes_of(self._domains, rows))

    def _labelled(self, rows: object, columns: Sequence[str]) -> object:
        """Lists of values as objects, column to value; one that has too many or too few values is named at once."""
        if not isinstance(rows, list):
            return rows
        self._check_count(len(rows))
        for number, row in enumerate(rows):
            if isinstance(row, list) and len(row) != len(columns):
                wanted = f"{len(columns)} values, one for each of the columns {', '.join(columns)}"
                raise misfit(iter([Mistake(number, wanted, f"{len(row)} values")]))
        return [dict(zip(columns, row, strict=True)) if isinstance(row, list) else row for row in rows]

    def _mistakes(self, values: np.ndarray, fits: np.ndarray) -> Iterator[Mistake]:
        for number, column in np.argwhere(~fits):
            value, name = float(values[number, column]), self.names[column]
            got = "nothing" if np.isnan(value) else shown(int(value)) if value.is_integer() else f"{value:g}"
            yield Mistake(int(number), self._domains[name].expected, got, name)

    def _check_count(self, rows: int) -> None:
        if rows == 0:
            raise RequestRefused(422, "The request holds no rows.")
        if rows > self._maximum_rows:
            raise RequestRefused(
                413, f"The request holds {rows} rows; at most {self._maximum_rows} are answered at once."
            )


def _are_numbers(rows: list[list[Any]]) -> bool:
    return all(value is None or type(value) in (int, float) for row in rows for value in row)


def _cited(names: Iterable[object]) -> str:
    return ", ".join(str(name)[:60] for name in list(names)[:5])
