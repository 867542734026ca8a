"""Rows in every form that protocols send them: accepted exactly when the native protocol accepts them."""

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.bundle.schema import BundleSchema
from ml.model.requests import RequestReader, RequestRefused, Rows
from ml.model.tables import TableReader
from ml.problem import Problem, load_problem
from ml.serving.protocols.tensors import Tensor, rows

NULLABLE, GAPPED = "AGEP", "SEX"


def problem() -> Problem:
    """The project's problem with a number that may be missing, and codes with a gap between them."""
    definition = load_problem().model_dump()
    for feature in definition["features"]:
        feature["nullable"] = feature["name"] == NULLABLE
        if feature["name"] == GAPPED:
            feature["codes"] = {1: "one", 2: "two", 9: "nine"}
    return Problem.model_validate(definition)


SCHEMA = BundleSchema.of(problem())
NATIVE = RequestReader(SCHEMA, maximum_rows=50)
TABLES = TableReader(SCHEMA.features, NATIVE.dtype, maximum_rows=50)
NAMES = TABLES.names
EXAMPLE = SCHEMA.example


class Model:
    """What of a served model the tensors need."""

    tables = TABLES


def forms(sent: list[dict[str, Any]]) -> dict[str, Any]:
    """The same rows in each form that can say them."""
    lists = [list(row.values()) for row in sent]
    columns = list(sent[0])
    tensors = [
        Tensor(name, [len(sent)], "FP64", {}, json.dumps([row[name] for row in sent]).encode())  # pyright: ignore
        for name in columns
    ]
    return {
        "records": lambda: TABLES.rows(json.dumps(sent).encode()),
        "lists": lambda: TABLES.lists(json.dumps(lists).encode(), columns),
        "columns": lambda: TABLES.columns(json.dumps({n: [row[n] for row in sent] for n in columns}).encode()),
        "tensors": lambda: rows(Model, tensors, b""),  # pyright: ignore[reportArgumentType]
    }


def outcome(read: Any) -> Any:
    """The matrix, or the columns that a refusal names."""
    try:
        found: Rows = read()
    except RequestRefused as refused:
        return {(mistake.row, mistake.column) for mistake in refused.mistakes}
    return [[None if np.isnan(value) else value for value in row] for row in found.matrix.astype(float)]


VALUES = (
    st.none() | st.booleans() | st.integers(-3, 120) | st.integers(-3, 120).map(float) | st.integers() | st.text("a1 ")
)


@settings(deadline=None, max_examples=60)  # other work on the machine is no failure
@given(
    st.lists(st.dictionaries(st.sampled_from([NULLABLE, GAPPED, "SCHL"]), VALUES, max_size=2), min_size=1, max_size=3)
)
def test_every_form_is_read_as_the_native_rows_are(changes: list[dict[str, Any]]) -> None:
    sent = [EXAMPLE | change for change in changes]
    native = outcome(lambda: NATIVE.read(json.dumps(sent).encode()))
    for form, read in forms(sent).items():
        assert (form, outcome(read)) == (form, native)


@settings(deadline=None, max_examples=60)  # other work on the machine is no failure
@given(st.dictionaries(st.sampled_from([NULLABLE, GAPPED]), st.none() | st.integers(-3, 120), max_size=2))
def test_a_csv_file_is_read_as_the_native_rows_are(change: dict[str, Any]) -> None:
    sent = EXAMPLE | change
    text = io.StringIO()
    csv.writer(text).writerow(["" if value is None else value for value in sent.values()])
    cells = next(csv.reader(io.StringIO(text.getvalue())))
    native = outcome(lambda: NATIVE.read(json.dumps(sent).encode()))
    assert outcome(lambda: TABLES.texts([cells], None)) == native
    assert outcome(lambda: TABLES.texts([cells[::-1]], NAMES[::-1])) == native


@pytest.mark.parametrize("cell", ["1_0", "٤", "0x10", "1e999", "inf", "nan", "True", "1,", "--1", "1.5", "1e-1"])
def test_what_python_takes_for_a_number_is_none_in_a_csv_file(cell: str) -> None:
    cells = [str(value) for value in EXAMPLE.values()]
    cells[NAMES.index("SCHL")] = cell
    with pytest.raises(RequestRefused) as refused:
        TABLES.texts([cells], None)
    assert {mistake.column for mistake in refused.value.mistakes} == {"SCHL"}


def test_a_missing_value_is_nan_in_a_matrix_and_only_where_it_may_be() -> None:
    values = np.array([list(EXAMPLE.values())], dtype=np.float64)
    values[0, NAMES.index(NULLABLE)] = np.nan
    assert np.isnan(TABLES.matrix(values).matrix[0, NAMES.index(NULLABLE)])
    for wrong in (np.nan, np.inf, -np.inf, 3.0, 1e300):
        spoilt = values.copy()
        spoilt[0, NAMES.index(GAPPED)] = wrong
        with pytest.raises(RequestRefused) as refused:
            TABLES.matrix(spoilt)
        (mistake,) = refused.value.mistakes
        assert (mistake.row, mistake.column, mistake.expected) == (0, GAPPED, "one of the codes 1, 2, 9")


def test_columns_that_are_named_twice_or_are_not_equally_long_are_refused() -> None:
    lists = json.dumps([list(EXAMPLE.values())]).encode()
    with pytest.raises(RequestRefused, match="named twice"):
        TABLES.lists(lists, [*NAMES[:-1], NAMES[0]])
    uneven = {name: [value] * (2 if name == GAPPED else 1) for name, value in EXAMPLE.items()}
    with pytest.raises(RequestRefused, match="not equally long: 1, 2"):
        TABLES.columns(json.dumps(uneven).encode())


@settings(deadline=None, max_examples=60)  # other work on the machine is no failure
@given(st.binary(max_size=60) | st.text('[]{}",:1aN ', max_size=30).map(str.encode))
def test_any_bytes_are_refused_and_never_crash(body: bytes) -> None:
    for read in (TABLES.rows, TABLES.lists, TABLES.columns):
        with pytest.raises(RequestRefused) as refused:
            read(body)
        assert 400 <= refused.value.status < 500
