"""Conformance: every protocol on the one server, from one table of cases."""

import json
import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import mlflow
import mlflow.pyfunc
import pandas as pd
import pytest

from ml.problem import Problem
from tests.protocols import DIALECTS, INFER, INVOCATIONS, JSON, MODEL, VERTEX_HEALTH, Dialect, Row, binary_request
from tests.served import Served, served

EACH = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_problem: Problem) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), small_problem, "--maximum-rows", "200") as running:
        yield running


@pytest.fixture(scope="module")
def rows(server: Served) -> list[Row]:
    return server.rows(60)


@pytest.fixture(scope="module")
def scores(server: Served, rows: list[Row]) -> list[float]:
    """What the native protocol answers, which every other one has to the bit."""
    status, answer = server.post("/predict", json.dumps(rows).encode())
    assert status == 200
    return [prediction["score"] for prediction in json.loads(answer)["predictions"]]


def test_the_scores_are_those_of_the_bundle_as_an_mlflow_model(
    server: Served, rows: list[Row], scores: list[float]
) -> None:
    """Compiled scores may differ from the pipeline's by the order of a sum: a few units in the last place."""
    model = mlflow.pyfunc.load_model(str(server.bundle / "model"))
    assert scores == pytest.approx(model.predict(pd.DataFrame(rows))[:, 1].tolist(), rel=0, abs=1e-12)


@EACH
def test_the_scores_are_the_same_to_the_bit(
    server: Served, rows: list[Row], scores: list[float], dialect: Dialect
) -> None:
    for count in (1, 2, 60):
        status, answer = server.post(dialect.path, dialect.body(rows[:count]), dialect.content_type, **dialect.headers)
        assert (status, dialect.scores(answer)) == (200, scores[:count])


@EACH
def test_whole_floats_and_another_order_of_columns_change_nothing(
    server: Served, rows: list[Row], scores: list[float], dialect: Dialect
) -> None:
    sent = rows[:5]
    if "float" in dialect.takes:
        sent = [{name: float(value) for name, value in row.items()} for row in sent]
    if "columns" in dialect.takes:
        sent = [dict(reversed(row.items())) for row in sent]
    status, answer = server.post(dialect.path, dialect.body(sent), dialect.content_type, **dialect.headers)
    assert (status, dialect.scores(answer)) == (200, scores[:5])


class Wrong(NamedTuple):
    """A value that is refused in row 1, what takes it, and how a refusal shows it."""

    value: Any
    needs: str
    shown: str = ""


WRONG = {
    "text": Wrong("many", "text", "many"),
    "boolean": Wrong(True, "boolean", "true"),
    "nothing": Wrong(None, "null"),
    "fraction": Wrong(40.5, "text", "40.5"),
    "too large": Wrong(10_000, "text", "10000"),
    "negative": Wrong(-1, "text", "-1"),
    "huge": Wrong(10**30, "huge"),
    "astronomic": Wrong(10**400, "huge"),
    "infinite": Wrong("1e400", "infinite"),
    "nested": Wrong({"a": [1]}, "boolean", "object"),
}


SAID = [
    pytest.param(dialect, wrong, id=f"{name}-{dialect.name}")
    for name, wrong in WRONG.items()
    for dialect in DIALECTS
    if wrong.needs in dialect.takes
]


@pytest.mark.parametrize(("dialect", "wrong"), SAID)
def test_a_wrong_value_is_named_by_row_and_column(
    server: Served, rows: list[Row], dialect: Dialect, wrong: Wrong
) -> None:
    for column in ("AGEP", "SEX"):
        sent = [dict(row) for row in rows[:3]]
        sent[1][column] = wrong.value
        status, answer = server.post(dialect.path, dialect.body(sent), dialect.content_type, **dialect.headers)
        said = dialect.sentence(answer)
        assert 400 <= status < 500, answer
        assert f"row 1, column {column}: expected" in said
        assert wrong.shown in said


@EACH
def test_a_missing_and_an_unknown_column_are_named(
    server: Served, rows: list[Row], scores: list[float], dialect: Dialect
) -> None:
    def refused(sent: list[Row]) -> str:
        status, answer = server.post(dialect.path, dialect.body(sent), dialect.content_type, **dialect.headers)
        assert 400 <= status < 500, answer
        return dialect.sentence(answer)

    few = [{name: value for name, value in row.items() if name != "SEX"} for row in rows[:2]]
    many = [row | {"EXTRA": 1} for row in rows[:2]]
    if dialect.selects:
        status, answer = server.post(dialect.path, dialect.body(many), dialect.content_type, **dialect.headers)
        assert (status, dialect.scores(answer)) == (200, scores[:2])
        assert "row 0, column SEX: expected one of the codes 1, 2, got nothing" in refused(few)
        renamed = [row | {"EXTRA": 1} for row in few]
        assert "row 0, column SEX: expected one of the codes 1, 2, got nothing" in refused(renamed)
    elif "columns" in dialect.takes:
        assert "row 0, column SEX: expected one of the codes 1, 2, got nothing" in refused(few)
        assert "row 0, column EXTRA: expected one of the columns" in refused(many)
    else:  # values without names
        refused(few)
        refused(many)


@EACH
def test_no_rows_too_many_and_a_body_that_is_none_are_refused(
    server: Served, rows: list[Row], dialect: Dialect
) -> None:
    whole = dialect.body(rows[:3])
    bodies = [dialect.body([]), dialect.body(rows * 4), b"", b" ", b"\xff\xfe", b"null", b"[" * 50_000, b'"x"', b"{}"]
    if dialect.content_type == JSON:
        bodies += [
            whole[:-2],
            whole + b"x",
            re.sub(rb"\d+(?=[],}])", b"NaN", whole, count=1),
            b"[]",
            b"[[]]",
            b"[null]",
            b'{"":1}',
        ]
    for body in bodies:
        status, answer = server.post(dialect.path, body, dialect.content_type, **dialect.headers)
        assert 400 <= status < 500, (body[:80], answer)
        assert json.loads(answer).get("error") or json.loads(answer)["message"], body[:80]
    assert server.post(dialect.path, dialect.body(rows * 4), dialect.content_type, **dialect.headers)[0] == 413


@EACH
def test_what_is_not_sent_as_it_should_be_is_refused(server: Served, rows: list[Row], dialect: Dialect) -> None:
    body = dialect.body(rows[:1])
    for headers in (
        {"content-type": "application/xml"},
        {"content-type": f"{dialect.content_type}; charset=latin-1"},
        {"content-type": dialect.content_type, "content-encoding": "gzip"},
    ):
        status, answer = server.process.ask("POST", dialect.path, body, headers)
        assert status == 415
        assert dialect.sentence(answer)
    status, answer = server.process.ask("PUT", dialect.path, body)
    assert (status, "POST" in dialect.sentence(answer)) == (405, True)


def test_every_protocol_counts_in_the_one_set_of_metrics(server: Served, rows: list[Row]) -> None:
    def rows_counted() -> float:
        text = server.process.ask("GET", "/metrics")[1].decode()
        return sum(float(x.rsplit(" ", 1)[1]) for x in text.splitlines() if x.startswith("mlops_predictions_total"))

    before = rows_counted()
    for dialect in DIALECTS:
        assert server.post(dialect.path, dialect.body(rows[:2]), dialect.content_type, **dialect.headers)[0] == 200
    assert rows_counted() == before + 2 * len(DIALECTS)
    text = server.process.ask("GET", "/metrics")[1].decode()
    assert 'route="/v2/models/{model}/infer",status="200"' in text
    assert MODEL not in "".join(x for x in text.splitlines() if "mlops_requests_total" in x)


@pytest.mark.parametrize(
    ("code", "datatype"), [("q", "INT64"), ("h", "INT16"), ("B", "UINT8"), ("f", "FP32"), ("e", "FP16")]
)
def test_binary_tensors_give_the_same_scores(
    server: Served, rows: list[Row], scores: list[float], code: str, datatype: str
) -> None:
    if code == "B":
        sent = [{name: min(value, 255) for name, value in row.items()} for row in rows[:9]]
        assert sent == rows[:9]
    body, headers = binary_request(rows[:9], code, datatype)
    status, answer = server.process.ask("POST", INFER, body, headers)
    assert status == 200, answer
    end = answer.index(b"}]}") + 3
    outputs = {output["name"]: output for output in json.loads(answer[:end])["outputs"]}
    assert outputs["score"]["parameters"]["binary_data_size"] == 72
    assert list(struct.unpack("<9d", answer[end : end + 72])) == scores[:9]
    assert len(answer) == end + 144


def test_broken_binary_tensors_are_refused(server: Served, rows: list[Row]) -> None:
    body, headers = binary_request(rows[:2])
    length = int(headers["inference-header-content-length"])
    nan, nan_headers = binary_request(
        [row | {"AGEP": value} for row, value in zip(rows, (20.0, float("nan")), strict=False)], "d", "FP64"
    )
    status, answer = server.process.ask("POST", INFER, nan, nan_headers)
    assert (status, "row 1, column AGEP: expected" in json.loads(answer)["error"]) == (400, True)
    for spoilt, changed in (
        (body[:-1], {}),
        (body + b"12345678", {}),
        (body, {"inference-header-content-length": str(len(body) + 1)}),
        (body, {"inference-header-content-length": "-1"}),
        (body, {"inference-header-content-length": "9" * 5000}),
        (body, {"inference-header-content-length": str(length - 1)}),
        (body.replace(b"INT64", b"BYTES"), {}),
        (body.replace(b"INT64", b"FP64X"), {"inference-header-content-length": str(length)}),
        (body.replace(b'"shape": [2]', b'"shape": [9]'), {}),
        (body.replace(b'"shape": [2]', b'"shape": []', 1), {"inference-header-content-length": str(length - 1)}),
    ):
        status, answer = server.process.ask("POST", INFER, spoilt, headers | changed)
        assert 400 <= status < 500, (changed, answer)
        assert json.loads(answer)["error"]


def test_the_open_inference_protocol_describes_itself(server: Served) -> None:
    def get(path: str) -> tuple[int, Any]:
        status, body = server.process.ask("GET", path)
        return status, json.loads(body)

    assert get("/v2")[1]["extensions"] == ["binary_tensor_data"]
    assert get("/v2/health/live") == (200, {"live": True})
    assert get("/v2/health/ready") == (200, {"ready": True})
    assert get("/v2/models") == (200, {"models": [MODEL]})
    for path in (f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/versions/1"):
        status, metadata = get(path)
        assert (status, metadata["name"], metadata["versions"]) == (200, MODEL, ["1"])
        assert {"name": "AGEP", "datatype": "INT64", "shape": [-1]} in metadata["inputs"]
        assert [output["name"] for output in metadata["outputs"]] == ["score", "decision"]
        assert get(f"{path}/ready") == (200, {"name": MODEL, "ready": True})
    for path in ("/v2/models/other", f"/v2/models/{MODEL}/versions/9", "/v2/models/other/ready", "/v1/models/other"):
        status, refused = get(path)
        assert (status, "error" in refused) == (404, True)


def test_each_platform_finds_its_health_routes(server: Served) -> None:
    for path in ("/ping", "/health", "/", "/ready", VERTEX_HEALTH, "/v1/models", f"/v1/models/{MODEL}"):
        status, body = server.process.ask("GET", path)
        assert (status, bool(json.loads(body))) == (200, True)
    assert server.process.ask("GET", "/version") == (200, mlflow.__version__.encode())


def test_the_answer_is_in_the_format_that_is_accepted(server: Served, rows: list[Row], scores: list[float]) -> None:
    def ask(accept: str, content_type: str = JSON) -> tuple[int, bytes]:
        body = b"".join(json.dumps(row).encode() + b"\n" for row in rows[:1])
        return server.post(INVOCATIONS, body, content_type, accept=accept)

    assert ask("text/csv")[1].startswith(repr(scores[0]).encode() + b",")
    assert json.loads(ask("application/jsonlines")[1])["score"] == scores[0]
    assert json.loads(ask("text/csv;q=0.5, application/json")[1])["predictions"][0]["score"] == scores[0]
    assert json.loads(ask("*/*", "application/jsonlines")[1])["score"] == scores[0]
    status, answer = ask("image/png")
    assert (status, "image/png" in json.loads(answer)["error"]) == (406, True)


def test_vertex_takes_parameters(server: Served, rows: list[Row], scores: list[float]) -> None:
    dialect = next(d for d in DIALECTS if d.name.startswith("vertex"))

    def ask(parameters: Any) -> tuple[int, Any]:
        status, body = server.post(dialect.path, json.dumps({"instances": rows[:1], "parameters": parameters}).encode())
        return status, json.loads(body)

    for nothing in (None, {}, {"explain": False}):
        assert ask(nothing)[1]["predictions"][0]["score"] == scores[0]
    assert len(ask({"explain": True})[1]["predictions"][0]["reasons"]) == len(rows[0])
    for wrong in ({"explain": "yes"}, {"other": 1}, 5, []):
        status, refused = ask(wrong)
        assert (status, refused["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_the_bundle_is_a_plain_mlflow_model(server: Served, rows: list[Row], scores: list[float]) -> None:
    """What Databricks Model Serving, or anybody with MLflow, needs: signature, requirements, example, predictions."""
    folder = server.bundle / "model"
    model = mlflow.pyfunc.load_model(str(folder))
    info = mlflow.models.get_model_info(str(folder))
    assert info.signature is not None
    assert info.signature.inputs.input_names() == list(rows[0])
    requirements = (folder / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z-]+==[0-9.]+", line) for line in requirements)
    assert {"scikit-learn", "pandas", "cloudpickle"} <= {line.split("==")[0] for line in requirements}
    example = model.input_example
    assert example is not None
    status, answer = server.post(INVOCATIONS, json.dumps({"dataframe_records": example.to_dict("records")}).encode())
    assert (status, json.loads(answer)["predictions"]) == (
        200,
        [pytest.approx(pair, rel=0, abs=1e-12) for pair in model.predict(example).tolist()],
    )
    with pytest.raises(mlflow.exceptions.MlflowException, match="SEX"):
        model.predict(pd.DataFrame(rows).drop(columns="SEX"))


def test_the_description_has_every_path_that_can_be_asked(server: Served) -> None:
    description = json.loads(server.process.ask("GET", "/openapi.json")[1])
    said = {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}
    asked = {("POST", re.sub(MODEL, "{model}", re.sub("versions/1", "versions/{version}", d.path))) for d in DIALECTS}
    assert asked <= said
    nothing = json.loads(server.process.ask("GET", "/nothing")[1])["error"]
    for _method, path in said:
        assert path in nothing
    assert {method for method, _path in said} == {"GET", "POST"}
