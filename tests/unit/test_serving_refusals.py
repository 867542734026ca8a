"""Every status in each protocol's own shape, as its clients read it, and JSON as its clients write it."""

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.protos import databricks_pb2
from pandas._libs.parsers import STR_NA_VALUES

from ml.columns.spelling import MISSING
from ml.model.requests import Mistake, RequestRefused
from ml.serving.protocols import azureml, invocations, kserve, mlflow, native, open_inference, vertex
from ml.serving.protocols.body import as_json
from ml.serving.protocols.vertex import VertexRoutes

STATUSES = (400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 422, 429, 500, 501, 503)
# google/rpc/code.proto
GOOGLE = frozenset(
    [
        *("INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED"),
        *("OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "UNAUTHENTICATED", "ABORTED"),
    ]
)
SENTENCE = "It is wrong."
ROUTES = [
    route
    for module, more in (
        *((module, ()) for module in (native, invocations, mlflow, azureml, kserve, open_inference)),
        (vertex, (VertexRoutes("/vertex/health", "/vertex/predict"),)),
    )
    for route in module.routes(None, *more)  # pyright: ignore[reportArgumentType, reportCallIssue]
]


def _is_native(said: dict[str, Any]) -> bool:
    return said["error"] == SENTENCE and said["request_id"] == "mine"


def _is_mlflows(said: dict[str, Any]) -> bool:
    return said["error_code"] in databricks_pb2.ErrorCode.keys() and said["message"] == SENTENCE  # noqa: SIM118


def _is_googles(said: dict[str, Any]) -> bool:
    error = said["error"]
    return error["status"] in GOOGLE and error["message"] == SENTENCE and isinstance(error["code"], int)


SHAPES = {
    "/predict": _is_native,
    "/ping": _is_native,
    "/invocations": lambda said: _is_native(said) and _is_mlflows(said),
    "/version": _is_mlflows,
    "/vertex/health": _is_googles,
    "/vertex/predict": _is_googles,
    "/score": lambda said: said["message"] == SENTENCE,
    "/": lambda said: said["message"] == SENTENCE,
}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_status_is_refused_in_the_protocols_own_shape(route: Any) -> None:
    has_shape = SHAPES.get(route.path) or (lambda said: said["error"] == SENTENCE)  # KServe and Triton
    for status, mistakes in itertools.product(STATUSES, ((), (Mistake(1, "a number", "a text", "AGEP"),))):
        response = route.refuse(RequestRefused(status, SENTENCE, mistakes), "mine")
        said = json.loads(response.body)
        assert response.content_type == "application/json"
        assert response.status == status or (response.status, status) == (400, 422)
        assert has_shape(said), (status, said)
        assert not mistakes or "AGEP" in response.body.decode()


def test_mlflows_own_rows_are_refused_in_its_shape() -> None:
    for status in STATUSES:
        said = json.loads(mlflow.refusal(RequestRefused(status, SENTENCE), "mine").body)
        assert _is_mlflows(said)
        assert "error" not in said


def test_an_empty_cell_is_whatever_pandas_takes_for_one() -> None:
    assert MISSING >= STR_NA_VALUES


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.sampled_from('NaInfity"\\-1 é')),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.sampled_from('NaN"\\x')), inner),
)


@given(JSON_VALUES)
def test_what_python_writes_becomes_json_and_texts_stay(value: Any) -> None:
    said = as_json(json.dumps(value, ensure_ascii=False).encode())

    def no_constant(name: str) -> None:
        raise AssertionError(name)

    assert _same(json.loads(said, parse_constant=no_constant), value)


def _same(found: Any, sent: Any) -> bool:
    if isinstance(sent, float) and sent != sent:
        return found is None
    if isinstance(sent, list):
        return len(found) == len(sent) and all(map(_same, found, sent))
    if isinstance(sent, dict):
        return found.keys() == sent.keys() and all(_same(found[key], sent[key]) for key in sent)
    return found == sent


@given(st.binary(max_size=60) | st.text('NaInfinity"\\,[]{}:-1\0', max_size=40).map(str.encode))
def test_any_bytes_stay_what_they_are_but_for_the_two_words(body: bytes) -> None:
    words = re.compile(rb"NaN|null|Infinity|1e999")
    assert words.sub(b"", as_json(body)) == words.sub(b"", body)
