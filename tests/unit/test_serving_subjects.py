"""Whom a row is about: one name or null per row beside the rows, and anything else is refused with a sentence."""

import json
from typing import Any

import pytest

from ml.bundle.schema import BundleSchema
from ml.model.requests import MAXIMUM_SUBJECT, RequestReader, RequestRefused
from ml.problem import load_problem

SCHEMA = BundleSchema.of(load_problem())
READER = RequestReader(SCHEMA, maximum_rows=50)
ROW = SCHEMA.example


def read(**body: Any) -> list[str | None] | None:
    return READER.read(json.dumps(body).encode()).subjects


def test_subjects_stand_beside_the_rows() -> None:
    assert read(rows=[ROW, ROW], subjects=["Ada", None]) == ["Ada", None]
    assert read(rows=[ROW], subjects=None) is None
    assert read(rows=[ROW]) is None
    assert read(**ROW) is None


@pytest.mark.parametrize(
    "subjects",
    [[], ["a", "b"], [""], [" \t\n"], ["x" * (MAXIMUM_SUBJECT + 1)], [7], [["a"]], "a", {"0": "a"}, True, 0],
    ids=repr,
)
def test_anything_but_one_name_or_null_per_row_is_refused(subjects: object) -> None:
    with pytest.raises(RequestRefused) as caught:
        read(rows=[ROW], subjects=subjects)
    assert caught.value.status == 422
    assert '"subjects" must say whom each row is about' in caught.value.message


def test_a_mistake_in_a_row_is_still_named() -> None:
    with pytest.raises(RequestRefused) as caught:
        read(rows=[ROW | {"surprise": 1}], subjects=["Ada"])
    assert caught.value.mistakes[0].column == "surprise"
