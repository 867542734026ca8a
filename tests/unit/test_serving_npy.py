"""NumPy's format, as NumPy writes it and as nobody should be able to send it."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ml.bundle.schema import BundleSchema
from ml.model.requests import RequestRefused
from ml.model.tables import TableReader
from ml.problem import load_problem
from ml.serving.protocols.npy import read_npy

FEATURES = tuple(each.model_copy(update={"nullable": True}) for each in load_problem().features[:3])
SCHEMA = BundleSchema.of(load_problem().model_copy(update={"features": FEATURES}))
COLUMNS = len(FEATURES)


class Model:
    """What of a served model the protocols need."""

    tables = TableReader(SCHEMA.features, np.float64, maximum_rows=10)


MODEL: Any = Model()
ROWS = np.array([[feature.domain.minimum + row % 2 for feature in FEATURES] for row in range(4)])


def written(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version, allow_pickle=True)
    return stream.getvalue()


def refusal(body: bytes) -> RequestRefused:
    with pytest.raises(RequestRefused) as refused:
        read_npy(MODEL, body)
    return refused.value


@given(
    arrays.integer_dtypes() | arrays.unsigned_integer_dtypes() | arrays.floating_dtypes(sizes=(16, 32, 64)),
    st.sampled_from(["C", "F"]),
    st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_arrays_of_numbers_are_read_in_every_type_order_and_version(kind: Any, order: Any, version: Any) -> None:
    array = np.asarray(ROWS, dtype=kind, order=order)
    assert np.array_equal(read_npy(MODEL, written(array, version)).matrix, ROWS)
    assert np.array_equal(read_npy(MODEL, written(array[1], version)).matrix, ROWS[1:2])


def test_nan_is_missing() -> None:
    assert np.isnan(read_npy(MODEL, written(np.full((1, COLUMNS), np.nan))).matrix).all()


@pytest.mark.parametrize(
    "array",
    [
        ROWS.astype(bool),
        ROWS.astype(complex),
        ROWS.astype(str),
        ROWS.astype(object),
        ROWS.astype("m8[s]"),
        ROWS.astype(float).view([("a", float)]),
        ROWS.astype(np.longdouble),
        ROWS.reshape(2, 2, COLUMNS),
        np.array(5),
    ],
    ids=lambda array: str(array.dtype),
)
def test_what_is_no_array_of_numbers_is_refused(array: np.ndarray) -> None:
    assert "integers or floats" in refusal(written(array)).message


def test_what_has_other_columns_rows_or_values_is_named() -> None:
    assert f"rows of {COLUMNS - 1} values; expected {COLUMNS}" in refusal(written(ROWS[:, 1:])).message
    assert f"rows of {COLUMNS + 1} values" in refusal(written(np.zeros(COLUMNS + 1))).message
    assert "no rows" in refusal(written(ROWS[:0])).message
    assert refusal(written(np.tile(ROWS, (3, 1)))).status == 413
    wrong = ROWS.astype(float)
    wrong[1, 0] = np.inf
    assert f"row 1, column {FEATURES[0].name}: expected" in refusal(written(wrong)).message


def test_a_header_makes_room_for_nothing_that_was_not_sent() -> None:
    body = written(ROWS)
    shape = f"(4, {COLUMNS})".encode()
    for changed in (body[:-1], body + b"\0", body.replace(shape, f"(999999999, {COLUMNS})".encode())):
        assert "bytes, not those of" in refusal(changed).message
    assert refusal(b"").status == 400


@given(st.binary(max_size=200), st.integers(0, 200))
def test_spoilt_bodies_are_refused_or_read(noise: bytes, place: int) -> None:
    body = written(ROWS)
    for sent in (noise, body[:place] + noise + body[place + len(noise) :], b"\x93NUMPY" + noise):
        with contextlib.suppress(RequestRefused):
            read_npy(MODEL, sent)
