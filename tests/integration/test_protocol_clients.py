"""The platforms' own clients against the one server: each gets the scores of the native protocol to the bit.

Clients whose dependencies clash with ours run in environments of their own, which uv makes from the pins in
tests/clients and keeps in its cache. What stands between a client and its container on the platform is a small proxy.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import mlflow
import pandas as pd
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from mlflow.deployments import get_deploy_client
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

from ml.problem import Problem
from pipelines._sandbox import free_ports
from tests.protocols import MODEL, VERTEX_PREDICT
from tests.served import PROJECT, Served, served, uv

CLIENTS = PROJECT / "tests" / "clients"
AZURE_SERVER = "azureml-inference-server-http==1.5.1"
START_S = 300.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_problem: Problem) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), small_problem) as running:
        yield running


@pytest.fixture(scope="module")
def rows(server: Served) -> list[dict[str, int]]:
    return server.rows(20)


@pytest.fixture(scope="module")
def scores(server: Served, rows: list[dict[str, int]]) -> list[float]:
    """What the native protocol answers: the clients get the same to the bit, other runtimes to 1e-12."""
    answer = json.loads(server.post("/predict", json.dumps(rows).encode())[1])
    return [prediction["score"] for prediction in answer["predictions"]]


@pytest.fixture(scope="module")
def front(server: Served) -> Iterator[str]:
    """What SageMaker and Databricks have before the container: `/…/<endpoint>/invocations` is /invocations there."""

    class Front(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert re.fullmatch(r"/(serving-)?endpoints/[a-z-]+/invocations", self.path)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            named = ("Content-Type", "Accept")
            # SageMaker answers a container's refusal with a ModelError of its own; the status is what matters here.
            status, answer, headers = _post(
                server, "/invocations", body, {k: self.headers[k] for k in named if self.headers[k]}
            )
            self.send_response(status)
            self.send_header("Content-Type", headers["content-type"])
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Front) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_port}"
        proxy.shutdown()


def _post(server: Served, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, Any]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.process.port, timeout=30)) as connection:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response.status, response.read(), response.headers


def run_client(name: str, url: str, target: str, rows: list[dict[str, int]]) -> dict[str, Any]:
    """Run a client in its own environment on good rows, and on two of which the second is wrong."""
    given = {"rows": rows, "wrong": [rows[0], rows[1] | {"AGEP": 9999}]}
    command = [uv(), "run", "--quiet", "--no-project", "--python", sys.executable, "--script", str(CLIENTS / name)]
    ended = subprocess.run(
        [*command, url, target],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])  # SageMaker's SDK says there, before, what it was configured by


WRONG = "row 1, column AGEP: expected an integer from 0 to 99, got 9999"


def test_triton(server: Served, rows: list[dict[str, int]], scores: list[float]) -> None:
    said = run_client("triton.py", server.url, MODEL, rows)
    assert said["alive"] == [True] * 3
    assert said["inputs"] == list(rows[0])
    assert said["scores"] == dict.fromkeys(("binary columns", "json columns", "binary matrix"), scores)
    assert WRONG in said["refused"]


def test_kserve(server: Served, rows: list[dict[str, int]], scores: list[float]) -> None:
    said = run_client("kserve_rest.py", server.url, MODEL, rows)
    assert said["alive"] == [True] * 5
    assert said["scores"] == dict.fromkeys(("v1", "v2", "v2 binary"), scores)
    assert WRONG in said["refused"]
    assert WRONG in said["refused v2"]


def test_vertex(server: Served, rows: list[dict[str, int]], scores: list[float]) -> None:
    endpoint = VERTEX_PREDICT.removeprefix("/v1/").removesuffix(":predict")
    said = run_client("vertex.py", server.url, endpoint, rows)
    assert said["scores"] == {"objects": scores, "lists": scores}
    assert said["reasons"] == len(rows[0])
    assert WRONG in said["refused"]["message"]
    assert said["refused"]["code"] == 400
    assert "instances[1].AGEP" in said["refused"]["details"][0]


def test_mlflow(server: Served, rows: list[dict[str, int]], scores: list[float]) -> None:
    client = ScoringServerClient("127.0.0.1", server.process.port)
    client.ping()
    assert client.get_version() == mlflow.__version__
    frame = pd.DataFrame(rows)
    for sent in (frame, frame.iloc[:, ::-1], frame.to_numpy()):
        answer = client.invoke(sent).get_predictions()
        assert answer.iloc[:, 1].tolist() == scores
    with pytest.raises(Exception, match=WRONG):
        client.invoke(pd.DataFrame([rows[0], rows[1] | {"AGEP": 9999}]))


def test_databricks(
    front: str, rows: list[dict[str, int]], scores: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", front)
    monkeypatch.setenv("DATABRICKS_TOKEN", "none")
    client = get_deploy_client("databricks")
    assert client is not None
    answer = client.predict(endpoint="employment", inputs={"dataframe_records": rows})
    assert [prediction[1] for prediction in answer["predictions"]] == scores


def test_sagemaker(front: str, rows: list[dict[str, int]], scores: list[float]) -> None:
    credentials = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "eu-central-1"}
    client = boto3.client(
        "sagemaker-runtime", endpoint_url=front, config=Config(retries={"max_attempts": 0}), **credentials
    )

    def ask(body: str, content_type: str, accept: str) -> str:
        answer = client.invoke_endpoint(EndpointName="employment", Body=body, ContentType=content_type, Accept=accept)
        assert answer["ContentType"].startswith(accept)
        return answer["Body"].read().decode()

    lines = "\n".join(json.dumps(row) for row in rows)
    table = pd.DataFrame(rows).to_csv(index=False, header=False)
    answer = json.loads(ask(json.dumps(rows), "application/json", "application/json"))
    assert [prediction["score"] for prediction in answer["predictions"]] == scores
    answered = ask(lines, "application/jsonlines", "application/jsonlines").splitlines()
    assert [json.loads(line)["score"] for line in answered] == scores
    for body, content_type in ((table, "text/csv"), (lines, "application/jsonlines")):
        answered = ask(body, content_type, "text/csv").splitlines()
        assert [float(line.split(",")[0]) for line in answered] == scores
    with pytest.raises(ClientError) as refused:
        ask(table.replace("\n", ",1\n", 1), "text/csv", "text/csv")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 422


def test_the_sagemaker_sdk(front: str, rows: list[dict[str, int]], scores: list[float]) -> None:
    said = run_client("sagemaker_predictor.py", front, "employment", rows)
    assert len(said["scores"]) == 14
    for way, answered in said["scores"].items():
        assert (way, answered) == (way, scores)
    assert said["columns"] == ["score", "decision"]
    assert said["frame"] == pytest.approx(scores, rel=1e-15)  # pandas' fast reader of floats is not exact
    assert said["one row"] == [scores[0]] * 3
    assert said["refused"] == [422, 422]
    assert said["with labels"] == 415


def test_the_sagemaker_sdk_3(front: str, rows: list[dict[str, int]], scores: list[float]) -> None:
    said = run_client("sagemaker_endpoint.py", front, "employment", rows)
    each = dict.fromkeys(("json", "csv", "array"), scores)
    assert said == {"with types": each, "without types": each, "bare": scores, "refused": 422}


def test_azureml_side_by_side(server: Served, rows: list[dict[str, int]], scores: list[float], tmp_path: Path) -> None:
    """Azure's own inference server runs the bundle, in an environment made of the bundle's own requirements."""
    frame = pd.DataFrame(rows)
    body = json.dumps({"input_data": frame.to_dict(orient="split")}).encode()
    with azure_server(server.bundle, tmp_path) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"Healthy"
        connection.request("POST", "/score", body, {"Content-Type": "application/json"})
        theirs = json.loads(connection.getresponse().read())
        connection.close()
    assert server.process.ask("GET", "/")[0] == 200
    status, ours = server.post("/score", body)
    assert (status, [pair[1] for pair in json.loads(ours)]) == (200, scores)
    assert json.loads(ours) == [pytest.approx(pair, rel=0, abs=1e-12) for pair in theirs]


@contextlib.contextmanager
def azure_server(bundle: Path, folder: Path) -> Iterator[int]:
    """Azure's server on a free port, ready; its home is `folder`, where it leaves a socket."""
    packages = ["--with", AZURE_SERVER, "--with-requirements", str(bundle / "model" / "requirements.txt")]
    port, health_port = free_ports(2)
    words = ["--model_dir", str(bundle), "--port", str(port), "--health_port", str(health_port)]
    server = ["env", f"HOME={folder}", "azmlinfsrv", "--entry_script", str(CLIENTS / "azureml_entry.py"), *words]
    command = [uv(), "run", "--quiet", "--no-project", "--python", sys.executable, *packages, *server]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, start_new_session=True)
    try:
        deadline = time.monotonic() + START_S
        while b"ready for serving" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            threading.Event().wait(0.2)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
