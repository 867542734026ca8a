"""`mlops score` on Databricks: the stack's job is started and followed. The workspace is a double, the scoring real."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from databricks.sdk.service.catalog import AwsCredentials

from ml.errors import InputRefused, MlopsError
from ml.problem import Problem
from ml.runtime import Runtime
from ml.scoring.command import score
from ml.scoring.job import Job, run
from ml.store import Store
from tests.conftest import rows_of
from tests.databricks import TOKEN, Workspace, workspace
from tests.live import runtime_json

JOB = 7
DEFINITION = {
    "tasks": [{"taskKey": "score"}],
    "parameters": [{"name": "data", "default": ""}, {"name": "output", "default": ""}],
}
IN, OUT = "memory://people/in.parquet", "memory://people/out"
STACK = ["--stack", "aws-databricks-dev"]


class Here:
    """Runs the task in this process, with what the job was told."""

    def __init__(self, store: Store, release: str) -> None:
        self._store, self._release = store, release

    def run(
        self, _definition: Mapping[str, Any], _task: Mapping[str, Any], told: Mapping[str, str], _where: object
    ) -> tuple[str, str | None]:
        try:
            run(Job(told["data"], told["output"], self._store.uri, self._release, ("id",)))
        except MlopsError as error:
            return "", str(error)
        return "scored", None


@pytest.fixture
def asked(
    store: Store, published: str, small_problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    rows_of(small_problem, 50).assign(id=np.arange(50)).to_parquet(tmp_path / "in.parquet")
    with fsspec.open(IN, "wb") as file:
        file.write((tmp_path / "in.parquet").read_bytes())
    with workspace({JOB: DEFINITION}, Here(store, published), lambda _: AwsCredentials()) as made:
        monkeypatch.setenv("DATABRICKS_HOST", made.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
        outputs = runtime_json(store, platform="databricks", release=published, scoring_job=f"{made.url}/jobs/{JOB}")
        monkeypatch.setattr(Runtime, "load", lambda _stack: Runtime.model_validate_json(outputs))
        yield made
    fsspec.filesystem("memory").rm("/people", recursive=True)


def invoke(*words: str) -> Result:
    return CliRunner().invoke(score, [*words, "--json"])


def test_the_job_is_started_and_followed(asked: Workspace, published: str) -> None:
    done = invoke(IN, OUT, *STACK)
    assert done.exit_code == 0, (done.exception, done.output)
    told, page = json.loads(done.stdout), f"{asked.url}/jobs/{JOB}/runs/1000"
    assert told.items() >= {"release": published, "rows": 50, "output": OUT, "job": page}.items()
    assert asked.started[0]["job_parameters"] == {"data": IN, "output": OUT}
    for said in (f"Submitted {page}", "The run is TERMINATED", "scored"):
        assert said in done.stderr
    assert json.loads(invoke("--follow", page).stdout) == told


@pytest.mark.parametrize(
    "words",
    [["--shares", "4"], ["--bad-rows", "aside"], ["--identifier", "id"], ["--release", f"sha256:{'0' * 64}"]],
)
def test_what_the_job_is_not_told_is_refused(asked: Workspace, words: list[str]) -> None:
    refused = invoke(IN, OUT, *STACK, *words)
    assert isinstance(refused.exception, InputRefused)
    assert words[0] in str(refused.exception)
    assert "on this machine" in str(invoke("people.parquet", OUT, *STACK).exception)
    assert asked.started == []


def test_what_failed_or_is_no_scoring_is_said(asked: Workspace) -> None:
    nothing = asked.run({"job_id": JOB, "job_parameters": {"data": "memory://people/none", "output": OUT}})
    untold = asked.run({"job_id": JOB})
    asked.wait()
    page = f"{asked.url}/jobs/{JOB}"
    for given, says in (
        (f"{page}/runs/{nothing}", "The scoring .* ended as RUN_EXECUTION_ERROR"),
        (f"{page}/runs/{untold}", "is no scoring"),
        (page, "names no scoring of any platform"),
        ("arn:aws:sagemaker:eu-west-1:1:training-job/x", "names no scoring of any platform"),
        ("x", "names no scoring of any platform"),
    ):
        ended = invoke("--follow", given)
        assert isinstance(ended.exception, MlopsError), given
        assert re.search(says, str(ended.exception)), ended.exception
