"""One table of protocols for the tests: how each says rows, and where its answer has the scores."""

import csv
import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Row = dict[str, Any]
JSON = "application/json"
MODEL = "employment"
VERTEX_PREDICT = "/v1/projects/1/locations/europe-west4/endpoints/2:predict"
VERTEX_HEALTH = "/v1/projects/1/locations/europe-west4/endpoints/2/health"
VERTEX = {"AIP_PREDICT_ROUTE": VERTEX_PREDICT, "AIP_HEALTH_ROUTE": VERTEX_HEALTH}


@dataclass(frozen=True)
class Dialect:
    """How one protocol says rows; `error` is the key of its refusal's sentence.

    One that is `selects` leaves columns out that the model doesn't take, as MLflow does; the others refuse them.
    """

    name: str
    path: str
    body: Callable[[list[Row]], bytes]
    scores: Callable[[bytes], list[float]]
    error: str = "error"
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    takes: frozenset[str] = frozenset({"float", "text", "boolean", "null", "huge", "infinite", "columns"})

    @property
    def selects(self) -> bool:
        return self.name.startswith("mlflow") or self.name in ("sagemaker csv with names", "azure input_data")

    def sentence(self, answer: bytes) -> str:
        """The sentence of a refusal."""
        value = json.loads(answer)
        for key in self.error.split("."):
            value = value[key]
        return value


def _json(wrap: Callable[[list[Row]], Any]) -> Callable[[list[Row]], bytes]:
    return lambda rows: json.dumps(wrap(rows)).replace('"1e400"', "1e400").encode()


def split(rows: list[Row]) -> dict[str, Any]:
    return {"columns": list(rows[0]) if rows else [], "data": lists(rows)}


def lists(rows: list[Row]) -> list[list[Any]]:
    return [list(row.values()) for row in rows]


def by_column(rows: list[Row]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}


def _lines(wrap: Callable[[Row], Any]) -> Callable[[list[Row]], bytes]:
    return lambda rows: b"".join(_json(lambda r: wrap(r[0]))([row]) + b"\n" for row in rows)


def _csv(*, named: bool) -> Callable[[list[Row]], bytes]:
    def body(rows: list[Row]) -> bytes:
        text = io.StringIO()
        table = csv.writer(text)
        table.writerows([list(rows[0])] if named and rows else [])
        table.writerows(lists(rows))
        return text.getvalue().encode()

    return body


def tensors(rows: list[Row]) -> dict[str, Any]:
    inputs = [
        {"name": name, "shape": [len(values)], "datatype": "INT64", "data": values}
        for name, values in by_column(rows).items()
    ]
    return {"inputs": inputs}


def _matrix(rows: list[Row]) -> dict[str, Any]:
    values = lists(rows)
    shape = [len(values), len(values[0]) if values else 0]
    return {"inputs": [{"name": "rows", "shape": shape, "datatype": "FP64", "data": values}]}


def _native_scores(answer: bytes) -> list[float]:
    return [p["score"] for p in json.loads(answer)["predictions"]]


def _mlflow_scores(answer: bytes) -> list[float]:
    return [p[1] for p in json.loads(answer)["predictions"]]


def _output(answer: bytes) -> list[float]:
    return next(o["data"] for o in json.loads(answer)["outputs"] if o["name"] == "score")


def _line_scores(answer: bytes) -> list[float]:
    return [json.loads(line)["score"] for line in answer.splitlines()]


def _csv_scores(answer: bytes) -> list[float]:
    return [float(line.split(b",")[0]) for line in answer.splitlines()]


def npy(rows: list[Row]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(lists(rows), dtype=float).reshape(len(rows), -1 if rows else 9))
    return stream.getvalue()


def _npy_scores(answer: bytes) -> list[float]:
    return np.load(io.BytesIO(answer))[:, 0].tolist()


NPY = "application/x-npy"
INVOCATIONS, SCORE, INFER = "/invocations", "/score", f"/v2/models/{MODEL}/infer"
V1 = f"/v1/models/{MODEL}:predict"
CSV = {"accept": "text/csv"}
TEXT = frozenset({"float", "text", "null", "columns", "huge"})
ORDERED = frozenset({"float", "text", "boolean", "null", "huge", "infinite"})
NATIVE = ORDERED | {"columns"}

DIALECTS = [
    Dialect("native rows", "/predict", _json(lambda rows: {"rows": rows}), _native_scores, takes=NATIVE),
    Dialect("native list", "/predict", _json(lambda rows: rows), _native_scores, takes=NATIVE),
    Dialect("sagemaker json", INVOCATIONS, _json(lambda rows: rows), _native_scores, takes=NATIVE),
    Dialect(
        "sagemaker features",
        INVOCATIONS,
        _json(lambda rows: {"instances": [{"features": list(row.values())} for row in rows]}),
        _native_scores,
        takes=ORDERED,
    ),
    Dialect(
        "sagemaker lines", INVOCATIONS, _lines(lambda row: row), _line_scores, content_type="application/jsonlines"
    ),
    Dialect(
        "sagemaker feature lines",
        INVOCATIONS,
        _lines(lambda row: {"features": list(row.values())}),
        _line_scores,
        content_type="application/jsonlines",
        takes=ORDERED,
    ),
    Dialect(
        "sagemaker csv", INVOCATIONS, _csv(named=False), _csv_scores, content_type="text/csv", takes=TEXT - {"columns"}
    ),
    Dialect("sagemaker npy", INVOCATIONS, npy, _npy_scores, content_type=NPY, takes=frozenset({"float", "null"})),
    Dialect(
        "sagemaker csv with names",
        INVOCATIONS,
        _csv(named=True),
        _csv_scores,
        "message",
        "text/csv",
        CSV,
        TEXT,
    ),
    Dialect("mlflow csv", INVOCATIONS, _csv(named=True), _mlflow_scores, "message", "text/csv", {}, TEXT),
    *(
        Dialect(
            f"mlflow {key}", INVOCATIONS, _json(lambda rows, k=key, w=wrap: {k: w(rows)}), _mlflow_scores, "message"
        )
        for key, wrap in {
            "dataframe_split": split,
            "dataframe_records": lambda rows: rows,
            "instances": lambda rows: rows,
            "inputs": by_column,
        }.items()
    ),
    Dialect("vertex objects", VERTEX_PREDICT, _json(lambda rows: {"instances": rows}), _native_scores, "error.message"),
    Dialect(
        "vertex lists",
        VERTEX_PREDICT,
        _json(lambda rows: {"instances": lists(rows)}),
        _native_scores,
        "error.message",
        takes=ORDERED,
    ),
    Dialect("azure native", SCORE, _json(lambda rows: rows), _native_scores, "message", takes=NATIVE),
    Dialect("azure data", SCORE, _json(lambda rows: {"data": rows}), _native_scores, "message"),
    Dialect(
        "azure input_data",
        SCORE,
        _json(lambda rows: {"input_data": split(rows)}),
        lambda answer: [p[1] for p in json.loads(answer)],
        "message",
    ),
    Dialect("kserve v1 instances", V1, _json(lambda rows: {"instances": rows}), _native_scores),
    Dialect("kserve v1 inputs", V1, _json(lambda rows: {"inputs": lists(rows)}), _native_scores, takes=ORDERED),
    Dialect("v2 columns", INFER, _json(tensors), _output),
    Dialect("v2 matrix", INFER, _json(_matrix), _output, takes=ORDERED),
    Dialect("v2 version", f"/v2/models/{MODEL}/versions/1/infer", _json(tensors), _output),
]


def binary_request(rows: list[Row], code: str = "q", datatype: str = "INT64") -> tuple[bytes, dict[str, str]]:
    """A request of the binary tensor extension, by hand: its body and headers."""
    parts = {name: struct.pack(f"<{len(values)}{code}", *values) for name, values in by_column(rows).items()}
    inputs = [
        {"name": name, "shape": [len(rows)], "datatype": datatype, "parameters": {"binary_data_size": len(data)}}
        for name, data in parts.items()
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return head + b"".join(parts.values()), headers
