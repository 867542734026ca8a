"""What the platforms' own clients send beside good rows: null for what they leave out, NaN, content types, columns.

The model has a number that may be missing. MLflow's own scoring server judges what MLflow's protocol is.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

from ml.problem import Problem
from tests.protocols import (
    DIALECTS,
    INFER,
    INVOCATIONS,
    JSON,
    NPY,
    SCORE,
    V1,
    VERTEX_PREDICT,
    Dialect,
    Row,
    by_column,
    lists,
    npy,
    split,
    tensors,
)
from tests.served import Served, served

MAY_MISS, NAN = "AGEP", float("nan")
NAN_TAKERS = [dialect for dialect in DIALECTS if dialect.path != "/predict"]  # docs/protocols.md says why
CSV, LINES = "text/csv", "application/jsonlines"
EACH = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_problem: Problem) -> Iterator[Served]:
    definition = small_problem.model_dump()
    for feature in definition["features"]:
        feature["nullable"] = feature["name"] == MAY_MISS
    with served(tmp_path_factory.mktemp("served"), Problem.model_validate(definition)) as running:
        yield running


@pytest.fixture(scope="module")
def rows(server: Served) -> list[Row]:
    """Three rows, the second without its number."""
    first, second, third = server.rows(3)
    return [first, second | {MAY_MISS: None}, third]


@pytest.fixture(scope="module")
def scores(server: Served, rows: list[Row]) -> list[float]:
    """What the native protocol answers."""
    status, answer = server.post("/predict", json.dumps(rows).encode())
    assert status == 200, answer
    return [prediction["score"] for prediction in json.loads(answer)["predictions"]]


def with_nan(rows: list[Row], value: float = NAN) -> list[Row]:
    return [row | {MAY_MISS: value if row[MAY_MISS] is None else row[MAY_MISS]} for row in rows]


@EACH
def test_a_missing_value_is_null_or_an_empty_cell(
    server: Served, rows: list[Row], scores: list[float], dialect: Dialect
) -> None:
    status, answer = server.post(dialect.path, dialect.body(rows), dialect.content_type, **dialect.headers)
    assert status == 200, answer
    assert dialect.scores(answer) == scores


@pytest.mark.parametrize("dialect", NAN_TAKERS, ids=lambda dialect: dialect.name)
def test_nan_is_a_missing_value_and_infinity_is_named(
    server: Served, rows: list[Row], scores: list[float], dialect: Dialect
) -> None:
    body = dialect.body(with_nan(rows))
    assert b"nan" in body.lower() or dialect.content_type == NPY
    status, answer = server.post(dialect.path, body, dialect.content_type, **dialect.headers)
    assert status == 200, answer
    assert dialect.scores(answer) == scores
    for value in (float("inf"), -float("inf")):
        body = dialect.body(with_nan(rows, value))
        status, answer = server.post(dialect.path, body, dialect.content_type, **dialect.headers)
        assert 400 <= status < 500
        assert f"row 1, column {MAY_MISS}: expected an integer from 0 to 99 or null" in dialect.sentence(answer)


@EACH
def test_a_content_type_may_say_more_than_the_format(
    server: Served, rows: list[Row], scores: list[float], dialect: Dialect
) -> None:
    kind, body = dialect.content_type, dialect.body(rows)
    for said in ("; charset=utf-8", ";charset=UTF-8", '; charset="utf8"', "; Charset=US-ASCII", ";label_size=0", ";"):
        status, answer = server.post(dialect.path, body, kind + said, **dialect.headers)
        assert (status, said, dialect.scores(answer)) == (200, said, scores)
    status, answer = server.post(
        dialect.path, body, f"{kind.title()}; header=present; CHARSET=utf_8", **dialect.headers
    )
    assert (status, dialect.scores(answer)) == (200, scores)
    for charset in ("latin-1", "utf-16", "cp1252"):
        status, answer = server.post(dialect.path, body, f"{kind};charset={charset}", **dialect.headers)
        assert (status, "UTF-8" in dialect.sentence(answer)) == (415, True)


def parts(rows: list[Row]) -> list[dict[str, Any]]:
    return [input_ | {"parameters": None} for input_ in tensors(rows)["inputs"]]


NULLS: dict[str, tuple[str, Callable[[list[Row]], Any]]] = {
    "native subjects": ("/predict", lambda rows: {"rows": rows, "subjects": None}),
    "mlflow keys": (
        INVOCATIONS,
        lambda rows: {"dataframe_records": rows, "dataframe_split": None, "instances": None, "inputs": None},
    ),
    "mlflow params": (INVOCATIONS, lambda rows: {"inputs": lists(rows), "params": None}),
    "mlflow index": (INVOCATIONS, lambda rows: {"dataframe_split": split(rows) | {"index": None}}),
    "mlflow columns": (INVOCATIONS, lambda rows: {"dataframe_split": {"data": lists(rows), "columns": None}}),
    "azure params": (SCORE, lambda rows: {"input_data": split(rows) | {"index": None}, "params": None}),
    "azure columns": (SCORE, lambda rows: {"input_data": {"data": lists(rows), "columns": None}}),
    "vertex parameters": (VERTEX_PREDICT, lambda rows: {"instances": rows, "parameters": None}),
    "vertex explain": (VERTEX_PREDICT, lambda rows: {"instances": rows, "parameters": {"explain": None}}),
    "kserve inputs": (V1, lambda rows: {"instances": rows, "inputs": None}),
    "kserve instances": (V1, lambda rows: {"inputs": rows, "instances": None}),
    "v2": (
        INFER,
        lambda rows: {"id": None, "parameters": None, "inputs": parts(rows), "outputs": None},
    ),
    "v2 outputs": (INFER, lambda rows: {"inputs": parts(rows), "outputs": [{"name": "score", "parameters": None}]}),
    "v2 binary": (
        INFER,
        lambda rows: {
            "parameters": {"binary_data_output": None, "content_type": None},
            "inputs": [part | {"parameters": {"binary_data_size": None}} for part in parts(rows)],
            "outputs": [{"name": "score", "parameters": {"binary_data": None}}, {"name": "decision"}],
        },
    ),
}


@pytest.mark.parametrize("sent", NULLS)
def test_an_optional_part_that_is_null_is_one_that_is_left_out(
    server: Served, rows: list[Row], scores: list[float], sent: str
) -> None:
    path, make = NULLS[sent]
    status, answer = server.post(path, json.dumps(make(rows)).encode())
    assert status == 200, answer
    reads = next(dialect.scores for dialect in DIALECTS if dialect.path == path and dialect.name != "sagemaker json")
    if path == INVOCATIONS:
        reads = next(dialect.scores for dialect in DIALECTS if dialect.name == "mlflow inputs")
    if sent.startswith("azure"):
        reads = next(dialect.scores for dialect in DIALECTS if dialect.name == "azure input_data")
    assert reads(answer) == scores


def test_a_part_that_is_needed_is_missed_when_it_is_null(server: Served, rows: list[Row]) -> None:
    for path, body, key in (
        (INVOCATIONS, {"dataframe_split": None}, "message"),
        (INVOCATIONS, {"dataframe_records": rows, "inputs": lists(rows)}, "message"),
        (SCORE, {"input_data": None}, "message"),
        (V1, {"instances": None, "inputs": None}, "error"),
        (INFER, {"inputs": None}, "error"),
        (INFER, {"inputs": [part | {"data": None} for part in parts(rows)]}, "error"),
    ):
        status, answer = server.post(path, json.dumps(body).encode())
        assert 400 <= status < 500
        assert json.loads(answer)[key]


EXTRA: dict[str, Any] = {"ID": "a-17", "NOTE": {"of": [1, None]}, "": 0}
SENT: dict[str, Callable[[list[Row]], Any]] = {
    "split": lambda rows: {"dataframe_split": split(rows)},
    "split with index": lambda rows: {"dataframe_split": split(rows) | {"index": [7, 8, 9]}},
    "records": lambda rows: {"dataframe_records": rows},
    "instances": lambda rows: {"instances": rows},
    "inputs": lambda rows: {"inputs": by_column(rows)},
    "inputs of rows": lambda rows: {"inputs": rows},
    "client_request_id": lambda rows: {"dataframe_records": rows, "client_request_id": "7"},
    "one key twice": lambda rows: {"dataframe_records": rows, "inputs": by_column(rows)},
    "split with more": lambda rows: {"dataframe_split": split(rows) | {"dtype": "float"}},
    "split without data": lambda rows: {"dataframe_split": {"columns": list(rows[0])}},
    "records that are none": lambda rows: {"dataframe_records": {"a": 1}},
    "no rows": lambda _: {"dataframe_records": []},
}
CHANGES: dict[str, Callable[[Row], Row]] = {
    "as it is": lambda row: row,
    "other order": lambda row: dict(reversed(row.items())),
    "more columns": lambda row: EXTRA | row,
    "more columns behind": lambda row: row | EXTRA,
    "a column less": lambda row: {name: value for name, value in row.items() if name != "SEX"},
    "one for another": lambda row: {("OTHER" if name == "SEX" else name): value for name, value in row.items()},
    "text": lambda row: row | {"SEX": "many"},
}


@pytest.fixture(scope="module")
def theirs(server: Served) -> Any:
    """The bundle as MLflow's own scoring server runs it."""
    return mlflow.pyfunc.load_model(str(server.bundle / "model"))


def asked_of(model: Any, body: str, kind: str) -> tuple[int, Any]:
    """What MLflow's scoring server answers."""
    try:
        answer = scoring_server.invocations(body, kind, model, model.metadata.get_input_schema())
    except MlflowException as refused:
        return refused.get_http_status_code(), json.loads(refused.serialize_as_json())
    return answer.status, json.loads(answer.response)


def agree(server: Served, model: Any, body: str, kind: str) -> None:
    status, expected = asked_of(model, body, kind)
    ours, answer = server.post(INVOCATIONS, body.encode(), kind)
    said = json.loads(answer)
    assert ours == status, (said, expected)
    if status == 200:
        assert said["predictions"] == [pytest.approx(pair, rel=0, abs=1e-12) for pair in expected["predictions"]]
    else:
        assert said["error_code"]
        assert said["message"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("sent", SENT)
def test_mlflows_own_server_takes_and_refuses_the_same(
    server: Served, theirs: Any, rows: list[Row], sent: str, change: str
) -> None:
    changed = [CHANGES[change](row) for row in with_nan(rows)]
    agree(server, theirs, json.dumps(SENT[sent](changed)), JSON)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("missing", ["", "nan", "NA", "NULL", "n/a", "#N/A", "<NA>", "None"])
def test_mlflows_own_server_takes_and_refuses_the_same_tables(
    server: Served, theirs: Any, rows: list[Row], change: str, missing: str
) -> None:
    text = io.StringIO()
    frame = pd.DataFrame([CHANGES[change](row) for row in with_nan(rows)])
    frame.to_csv(text, index=change == "more columns", na_rep=missing)
    agree(server, theirs, text.getvalue(), CSV)


def test_mlflows_client_sends_what_a_frame_has(server: Served, rows: list[Row], scores: list[float]) -> None:
    client = ScoringServerClient("127.0.0.1", server.process.port)
    frame = pd.DataFrame(with_nan(rows))
    kept = frame.assign(ID=["a", "b", "c"], WHEN=pd.Timestamp("2026-01-01"), SHARE=[0.5, NAN, float("inf")])
    for sent in (frame, frame.to_numpy(), frame.to_numpy().tolist(), kept, kept[kept.columns[::-1]]):
        assert client.invoke(sent).get_predictions().iloc[:, 1].tolist() == scores
    with pytest.raises(Exception, match=r"error code 400.*error_code.*SEX: expected one of the codes"):
        client.invoke(kept.assign(SEX=9))


ACCEPTED = {
    "": "sent",
    "*/*": "sent",
    "*": "sent",
    "text/html, */*;q=0.1": "sent",
    "application/json": JSON,
    "Application/JSON; charset=utf-8": JSON,
    "application/json;verbose=true": JSON,
    "application/*": "sent",
    "text/*": CSV,
    "text/*;q=0.2, application/*;q=0.3": "sent",
    "text/csv, application/json": CSV,
    "text/csv;q=0.5, application/json": JSON,
    "text/csv; q=.5, application/json;q=0.4": CSV,
    "*/*;q=0.9, text/csv": CSV,
    "application/json;q=0, */*": "another",
    "text/csv;q=0, text/*, application/jsonlines;q=0.1": LINES,
    "text/csv;q=2": CSV,
    "text/csv;q=high": CSV,
    "image/png, application/x-ndjson": "application/x-ndjson",
    "image/png": None,
    "application/json;q=0": None,
    "text/csv;q=0.0": None,
    "*/*;q=0": None,
}


@pytest.mark.parametrize("accept", ACCEPTED)
def test_the_answer_is_in_the_type_that_is_wanted_most(server: Served, rows: list[Row], accept: str) -> None:
    body = json.dumps(rows[0]).encode() + b"\n"
    for kind in (JSON, LINES):
        status, answer, headers = server.process.answered(
            "POST", INVOCATIONS, body, {"content-type": kind, "accept": accept}
        )
        wanted = ACCEPTED[accept]
        if wanted is None:
            assert (status, json.loads(answer)["error_code"]) == (406, "BAD_REQUEST")
        elif wanted == "another":
            assert (status, headers["content-type"] != JSON) == (200, True)
        else:
            assert (status, headers["content-type"]) == (200, kind if wanted == "sent" else wanted)


def test_sagemaker_takes_lists_of_values(server: Served, rows: list[Row], scores: list[float]) -> None:
    """What its JSONSerializer makes of an array."""
    body = json.dumps(np.array(lists(with_nan(rows)), dtype=float).tolist()).encode()
    status, answer = server.post(INVOCATIONS, body)
    assert (status, [prediction["score"] for prediction in json.loads(answer)["predictions"]]) == (200, scores)
    for row, score in zip(with_nan(rows), scores, strict=True):
        status, answer = server.post(INVOCATIONS, json.dumps(list(row.values())).encode())
        assert (status, [prediction["score"] for prediction in json.loads(answer)["predictions"]]) == (200, [score])
    few, two = json.dumps(lists(rows)[0][1:]), f"{json.dumps(lists(rows)[0])}, {json.dumps(lists(rows)[2])}"
    for wrong in (few, two, "[1", "[nothing]", "[null]"):
        assert 400 <= server.post(INVOCATIONS, wrong.encode())[0] < 500


@pytest.mark.parametrize("dialect", [each for each in DIALECTS if each.path == INVOCATIONS], ids=lambda each: each.name)
def test_without_a_content_type_the_body_says_what_it_is(
    server: Served, rows: list[Row], scores: list[float], dialect: Dialect
) -> None:
    """SageMaker's SDK sends none from version 3 on; lines of JSON are the one body that isn't told from another."""
    status, answer = server.process.ask("POST", INVOCATIONS, dialect.body(rows), dialect.headers)
    if dialect.content_type == LINES:
        assert (status, bool(json.loads(answer)["error"])) == (400, True)
    else:
        assert (status, dialect.scores(answer)) == (200, scores)


@pytest.mark.parametrize(
    "said", ["label_size=1", "charset=utf-8; Label_Size=1", 'label_size="2"', "label_size=", "label_size=x"]
)
def test_csv_that_begins_with_labels_is_refused_before_they_are_read_as_values(
    server: Served, rows: list[Row], said: str
) -> None:
    body = next(dialect for dialect in DIALECTS if dialect.name == "sagemaker csv").body(rows)
    status, answer = server.post(INVOCATIONS, body, f"{CSV};{said}")
    assert (status, "labels" in json.loads(answer)["error"]) == (415, True)


@pytest.mark.parametrize(
    "accept", ["text/csv;header=present", 'application/json;q=0.1, Text/CSV; q=1; Header="present"']
)
def test_csv_has_a_line_of_names_where_one_is_accepted(
    server: Served, rows: list[Row], scores: list[float], accept: str
) -> None:
    """As RFC 4180 has it; SageMaker's PandasDeserializer takes the first line for names."""
    for kind, body in ((JSON, json.dumps(rows).encode()), (NPY, npy(rows))):
        status, answer, headers = server.process.answered(
            "POST", INVOCATIONS, body, {"content-type": kind, "accept": accept}
        )
        assert (status, headers["content-type"]) == (200, CSV)
        table = list(csv.DictReader(answer.decode().splitlines()))
        assert (list(table[0]), [float(row["score"]) for row in table]) == (["score", "decision"], scores)
    absent = {"content-type": JSON, "accept": "text/csv;header=absent, application/json;header=present"}
    answer = server.process.answered("POST", INVOCATIONS, json.dumps(rows).encode(), absent)[1]
    assert len(answer.splitlines()) == len(rows)


@pytest.mark.parametrize("accept", [CSV, LINES])
def test_a_batch_transform_joins_a_line_of_the_answer_to_each_line_of_its_input(
    server: Served, rows: list[Row], scores: list[float], accept: str
) -> None:
    """A line of CSV with nothing in its cells is a row; one that is blank is none."""
    asked = {d.content_type: d for d in DIALECTS if d.name in ("sagemaker csv", "sagemaker lines")}
    for kind, dialect in asked.items():
        status, answer = server.post(INVOCATIONS, dialect.body(rows), kind, accept=accept)
        assert (status, asked[accept].scores(answer), answer.count(b"\n")) == (200, scores, len(rows))
    first, second, *_ = asked[CSV].body(rows).splitlines(keepends=True)
    assert server.post(INVOCATIONS, first + b"\r\n" + second, CSV, accept=accept)[1].count(b"\n") == 2
    nothing = b"," * (len(rows[0]) - 1)
    status, answer = server.post(INVOCATIONS, first + nothing + b"\n" + second, CSV, accept=accept)
    assert (status, "row 1, column" in json.loads(answer)["error"]) == (422, True)
