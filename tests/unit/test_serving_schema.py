"""A request is read at C speed when it fits, and when it doesn't every mistake is named; the two never disagree."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ml.bundle.schema import BundleSchema
from ml.model.requests import RequestReader, RequestRefused
from ml.problem import Categorical, Problem, load_problem

PROBLEM = load_problem()
SCHEMA = BundleSchema.of(PROBLEM)
EXAMPLE = SCHEMA.example
READER = RequestReader(SCHEMA, maximum_rows=50)
NUMBER = next(f for f in PROBLEM.features if not isinstance(f, Categorical))
CODE = next(f for f in PROBLEM.features if isinstance(f, Categorical))


def refusal(body: bytes, reader: RequestReader = READER) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        reader.read(body)
    return caught.value


def row(**changes: Any) -> dict[str, Any]:
    return EXAMPLE | changes


@pytest.mark.parametrize("shape", [lambda r: r[0], lambda r: {"rows": r[:1]}, lambda r: r[:1]])
def test_one_row_may_come_alone_or_in_a_list(shape: Any) -> None:
    matrix = READER.read(json.dumps(shape([EXAMPLE])).encode()).matrix
    assert matrix.tolist() == [list(EXAMPLE.values())]
    assert matrix.dtype == np.int64


def test_rows_keep_their_order_and_columns_the_models() -> None:
    rows = [dict(reversed(row(**{NUMBER.name: NUMBER.minimum + i}).items())) for i in range(5)]
    matrix = READER.read(json.dumps({"rows": rows}).encode()).matrix
    column = PROBLEM.feature_names.index(NUMBER.name)
    assert matrix[:, column].tolist() == [NUMBER.minimum + i for i in range(5)]


@pytest.mark.parametrize(
    "value",
    [True, 1.5, "1", None, [], {}, [1], NUMBER.minimum - 1, NUMBER.maximum + 1, 10**30, -(2**63)],
    ids=repr,
)
def test_a_wrong_number_is_named_with_row_and_column(value: object) -> None:
    refused = refusal(json.dumps({"rows": [EXAMPLE, row(**{NUMBER.name: value})]}).encode())
    (mistake,) = refused.mistakes
    assert (refused.status, mistake.row, mistake.column) == (422, 1, NUMBER.name)
    assert mistake.expected == f"an integer from {NUMBER.minimum} to {NUMBER.maximum}"
    assert "row 1" in refused.message
    assert NUMBER.name in refused.message


@pytest.mark.parametrize("value", [max(CODE.codes) + 1, -1, True, "1", 1.5, None, 10**20], ids=repr)
def test_an_unknown_code_is_named_with_the_known_ones(value: object) -> None:
    (mistake,) = refusal(json.dumps([row(**{CODE.name: value})]).encode()).mistakes
    assert (mistake.row, mistake.column) == (0, CODE.name)
    assert mistake.expected == f"one of the codes {', '.join(map(str, CODE.codes))}"


def test_missing_and_unknown_columns_are_named() -> None:
    changed = row(surprise=1)
    del changed[CODE.name]
    mistakes = refusal(json.dumps(changed).encode()).mistakes
    assert {(m.column, m.got) for m in mistakes} == {
        (CODE.name, "nothing: the column is missing"),
        ("surprise", "an unknown column"),
    }


def test_all_mistakes_are_named_up_to_twenty() -> None:
    one = refusal(b"{}").mistakes
    assert [m.column for m in one] == PROBLEM.feature_names
    assert len(refusal(json.dumps([{}] * 10).encode()).mistakes) == 20


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "empty"),
        (b" \n", 400, "empty"),
        (b"{", 400, "not JSON"),
        (b"nonsense", 400, "not JSON"),
        (b'{"a": NaN}', 400, "NaN"),
        (b'{"a": Infinity}', 400, "Infinity"),
        (b'{"a": -Infinity}', 400, "Infinity"),
        (b'[{"a": "\xff\xfe"}]', 400, "UTF-8"),
        (b"\xff\xfe", 400, "not JSON"),
        (b"[" * 200_000, 400, "nested"),
        (b'{"a":' * 200_000, 400, "nested"),
        (b"{}{}", 400, "not JSON"),
        (b"null", 422, "one row"),
        (b"1", 422, "one row"),
        (b'"text"', 422, "one row"),
        (b"[]", 422, "no rows"),
        (b'{"rows": []}', 422, "no rows"),
        (b'{"rows": 1}', 422, "one row"),
        (b'{"rows": [{}], "more": 1}', 422, "one row"),
        (b"[1]", 422, "JSON object"),
        (b"[[1]]", 422, "JSON object"),
        (b"[null]", 422, "JSON object"),
    ],
)
def test_what_is_no_request_is_said_in_a_sentence(body: bytes, status: int, said: str) -> None:
    refused = refusal(body)
    assert refused.status == status
    assert said in refused.message


@pytest.mark.parametrize("value", ["1e999", "1e400", "-1e999"])
def test_a_number_beyond_any_float_is_refused(value: str) -> None:
    body = json.dumps(row(**{NUMBER.name: 7})).replace(f'"{NUMBER.name}": 7', f'"{NUMBER.name}": {value}')
    assert refusal(body.encode()).status in (400, 422)


@pytest.mark.parametrize("digits", [400, 4300, 6001, 100_000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_an_integer_of_any_length_is_named_with_row_and_column(digits: int, sign: str) -> None:
    """Python itself reads no more than 4,300 digits, and says so in words of its own."""
    value = sign + "9" * digits
    body = json.dumps(row(**{NUMBER.name: 7})).replace(f'"{NUMBER.name}": 7', f'"{NUMBER.name}": {value}')
    (mistake,) = (refused := refusal(body.encode())).mistakes
    assert (refused.status, mistake.column, mistake.got) == (422, NUMBER.name, f"{value[:60]}…")


def test_a_column_given_twice_is_refused_when_either_is_wrong() -> None:
    body = json.dumps(EXAMPLE)[:-1] + f', "{NUMBER.name}": 1}}'
    twice = body.replace(f'"{NUMBER.name}": {EXAMPLE[NUMBER.name]}', f'"{NUMBER.name}": "x"', 1)
    assert "twice" in refusal(twice.encode()).message


def test_too_many_rows_are_refused() -> None:
    assert len(READER.read(json.dumps([EXAMPLE] * 50).encode()).matrix) == 50
    for rows in ([EXAMPLE] * 51, [{}] * 51):
        assert refusal(json.dumps({"rows": rows}).encode()).status == 413


def test_a_long_value_is_not_sent_back_whole() -> None:
    (mistake,) = refusal(json.dumps(row(**{CODE.name: "x" * 100_000})).encode()).mistakes
    assert len(mistake.got) < 100


def test_a_nullable_feature_takes_null() -> None:
    definition = PROBLEM.model_dump()
    for feature in definition["features"]:
        feature["nullable"] = feature["name"] in (NUMBER.name, CODE.name)
    schema = BundleSchema.of(Problem.model_validate(definition))
    reader = RequestReader(schema, 10)
    matrix = reader.read(json.dumps(row(**{NUMBER.name: None, CODE.name: None})).encode()).matrix
    assert np.isnan(matrix).sum() == 2
    assert "or null" in refusal(json.dumps(row(**{NUMBER.name: "x"})).encode(), reader).mistakes[0].expected
    assert refusal(json.dumps({}).encode(), reader).mistakes[0].got == "nothing: the column is missing"


values = (
    st.none()
    | st.booleans()
    | st.integers(-3, 120)
    | st.integers()
    | st.floats(allow_nan=False)
    | st.integers(-3, 120).map(float)
    | st.text(max_size=3)
)


@settings(deadline=None)  # other work on the machine is no failure
@given(st.dictionaries(st.sampled_from([*PROBLEM.feature_names, "other"]), values, max_size=3), st.booleans())
def test_a_row_is_accepted_exactly_when_its_json_schema_accepts_it(changes: dict[str, Any], batch: bool) -> None:
    changed = EXAMPLE | changes
    fits = Draft202012Validator(SCHEMA.row).is_valid(changed)
    body = msgspec.json.encode({"rows": [changed]} if batch else changed)
    if fits:
        assert READER.read(body).matrix.tolist() == [[changed[name] for name in PROBLEM.feature_names]]
    else:
        wrong = {m.column for m in refusal(body).mistakes}
        assert wrong
        assert wrong <= changes.keys()


@settings(deadline=None)  # other work on the machine is no failure
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_answered_with_a_refusal_and_never_with_a_crash(body: bytes) -> None:
    assert 400 <= refusal(body).status < 500
