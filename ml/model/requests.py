"""Check requests against a release's schema: at C speed when they are right, with every mistake named when not."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from struct import Struct
from typing import Annotated, Any, Final, Literal, NamedTuple, NoReturn

import msgspec
import numpy as np

from ml.bundle.schema import BundleSchema
from ml.problem import Feature
from ml.problem.domain import Domain

__all__ = [
    "MAXIMUM_SUBJECT",
    "Mistake",
    "RequestReader",
    "RequestRefused",
    "Rows",
    "decoded",
    "misfit",
    "mistakes_of",
    "shown",
]

MAXIMUM_MISTAKES: Final = 20
MAXIMUM_SUBJECT: Final = 80  # characters: normalised, they are still a name that ml.subjects takes
SHOWN_CHARACTERS: Final = 60
MAXIMUM_DIGITS: Final = 4000


class Mistake(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong with a request; rows count from 0. `column` is absent where the row itself is wrong."""

    row: int
    expected: str
    got: str
    column: str | None = None


class RequestRefused(Exception):
    """A request that is answered with an HTTP status of 4xx and a sentence."""

    def __init__(self, status: int, message: str, mistakes: tuple[Mistake, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.mistakes = mistakes


class Rows(NamedTuple):
    """The rows of a request as a matrix (rows, features), and whom each is about, where the caller said it."""

    matrix: np.ndarray
    subjects: list[str | None] | None = None


class RequestReader:
    """Reads `{column: value, …}`, `[row, …]`, or `{"rows": [row, …], "subjects": [name or null, …]}`."""

    def __init__(self, schema: BundleSchema, maximum_rows: int) -> None:
        self._features = schema.features
        self._domains = {feature.name: feature.domain for feature in schema.features}
        self._maximum_rows = maximum_rows
        # Missing numbers need a float; the model was trained on integers where there are none.
        self.dtype = np.float64 if any(feature.nullable for feature in schema.features) else np.int64
        # Positional names, so that any column name will do; `rename` maps them to the JSON's.
        row = msgspec.defstruct(
            "Row",
            [(f"column_{i}", _type(feature)) for i, feature in enumerate(schema.features)],
            rename={f"column_{i}": feature.name for i, feature in enumerate(schema.features)},
            forbid_unknown_fields=True,
            gc=False,
        )
        name = Annotated[str, msgspec.Meta(max_length=MAXIMUM_SUBJECT, pattern=r"\S")]
        batch = msgspec.defstruct(
            "Batch",
            [("rows", list[row]), ("subjects", list[name | None] | None, None)],  # pyright: ignore[reportInvalidTypeForm]
            forbid_unknown_fields=True,
        )
        self._pack = Struct(f"{len(schema.features)}q").pack
        self._row = msgspec.json.Decoder(row)
        self._rows = msgspec.json.Decoder(list[row])  # pyright: ignore[reportInvalidTypeForm]
        self._batch = msgspec.json.Decoder(batch)

    def read(self, body: bytes) -> Rows:
        """What a request body holds; RequestRefused names every mistake, up to 20."""
        try:
            rows, subjects = self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._read_whole_floats(body)
        self._check_count(len(rows))
        if subjects is not None and len(subjects) != len(rows):
            _refuse_subjects()
        values = map(msgspec.structs.astuple, rows)
        if self.dtype is np.int64:  # by way of bytes: a third of the time
            packed = b"".join([self._pack(*row) for row in values])
            return Rows(np.frombuffer(packed, np.int64).reshape(len(rows), -1), subjects)
        return Rows(np.array(list(values), dtype=self.dtype), subjects)

    def _decode(self, body: bytes) -> tuple[list[Any], list[str | None] | None]:
        if body.lstrip()[:1] == b"[":
            return self._rows.decode(body), None
        try:
            return [self._row.decode(body)], None
        except msgspec.ValidationError:
            batch: Any = self._batch.decode(body)
            return batch.rows, batch.subjects

    def _read_whole_floats(self, body: bytes) -> Rows:
        """Rows in which a float is whole, as 45.0, which JSON Schema calls an integer; else what is wrong with them."""
        if not body.strip():
            raise RequestRefused(400, "The body is empty. Send a row as a JSON object; /docs shows one.")
        value = decoded(body)
        rows, subjects = self._rows_of(value)
        self._check_count(len(rows))
        mistakes = tuple(islice(mistakes_of(self._domains, rows), MAXIMUM_MISTAKES))
        if mistakes or not any(type(item) is float for row in rows for item in row.values()):
            raise misfit(iter(mistakes))
        matrix = np.array([[row[f.name] for f in self._features] for row in rows], dtype=np.float64)
        return Rows((matrix + 0.0).astype(self.dtype), subjects)  # -0.0 is 0

    def _rows_of(self, value: Any) -> tuple[list[Any], list[str | None] | None]:
        if isinstance(value, list):
            return value, None
        if isinstance(value, dict):
            if "rows" not in value or "rows" in self._domains:
                return [value], None
            if isinstance(value["rows"], list) and value.keys() <= {"rows", "subjects"}:
                subjects = value.get("subjects")
                _check_subjects(subjects, len(value["rows"]))
                return value["rows"], subjects
        raise RequestRefused(
            422,
            'The body must be one row, a list of rows, or {"rows": [row, …]} with nothing but "subjects" beside it; '
            "a row is a JSON object.",
        )

    def _check_count(self, rows: int) -> None:
        if rows == 0:
            raise RequestRefused(422, "The request holds no rows.")
        if rows > self._maximum_rows:
            raise RequestRefused(
                413, f"The request holds {rows} rows; at most {self._maximum_rows} are answered at once."
            )


def decoded(data: bytes) -> Any:
    """Any JSON; RequestRefused for what is none."""
    try:
        try:
            return msgspec.json.decode(data)
        except msgspec.ValidationError:  # a number that no float holds: it is named with its row and column
            return json.loads(data, parse_constant=_refuse_constant, parse_int=_integer)
    except UnicodeDecodeError as error:
        raise RequestRefused(400, f"The body is not UTF-8: byte {error.start}.") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise RequestRefused(400, f"The body is not JSON: {error}. NaN and Infinity are not JSON.") from error
    except RecursionError as error:
        raise RequestRefused(400, "The body is nested too deeply.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}")


def _integer(digits: str) -> int:
    """Of a number that is longer than Python reads, the beginning: it is too large for any column either way."""
    return int(digits[:MAXIMUM_DIGITS])


def misfit(found: Iterator[Mistake]) -> RequestRefused:
    """The refusal that names these mistakes, up to 20."""
    mistakes = tuple(islice(found, MAXIMUM_MISTAKES))
    if not mistakes:  # the last of two equal keys is right, the first was not
        return RequestRefused(422, "The request does not fit the model: a row names a column twice.")
    first = mistakes[0]
    place = f"row {first.row}" + (f", column {first.column}" if first.column else "")
    others = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    message = f"The request does not fit the model: {place}: expected {first.expected}, got {first.got}{others}."
    return RequestRefused(422, message, mistakes)


def mistakes_of(domains: Mapping[str, Domain], rows: Iterable[object]) -> Iterator[Mistake]:
    """What is wrong with rows that should be JSON objects, column to value."""
    names = sorted(domains)
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            yield Mistake(number, "a JSON object, column to value", shown(row))
            continue
        for column, domain in domains.items():
            if column not in row:
                yield Mistake(number, domain.expected, "nothing: the column is missing", column)
            elif not domain.holds(row[column]):
                yield Mistake(number, domain.expected, shown(row[column]), column)
        for name in sorted(row.keys() - set(names)):
            yield Mistake(number, f"one of the columns {', '.join(names)}", "an unknown column", _cut(name))


def _check_subjects(subjects: object, rows: int) -> None:
    if subjects is None:
        return
    if not isinstance(subjects, list) or len(subjects) != rows:
        _refuse_subjects()
    for name in subjects:
        if name is not None and not (isinstance(name, str) and name.strip() and len(name) <= MAXIMUM_SUBJECT):
            _refuse_subjects()


def _refuse_subjects() -> NoReturn:
    raise RequestRefused(
        422,
        f'"subjects" must say whom each row is about: one name of 1 to {MAXIMUM_SUBJECT} characters, or null, per row.',
    )


def _type(feature: Feature) -> Any:
    """The domain as msgspec has it, which checks an integer at C speed; what is whole but a float comes after."""
    domain = feature.domain
    if domain.codes is not None:
        kind: Any = Literal[domain.codes]  # pyright: ignore[reportInvalidTypeArguments]
    else:
        kind = Annotated[int, msgspec.Meta(ge=domain.minimum, le=domain.maximum)]
    return kind | None if domain.nullable else kind


def shown(value: object) -> str:
    """A value that was sent, as a refusal repeats it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return _cut(msgspec.json.encode(value).decode())


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
