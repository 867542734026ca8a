"""The published OpenAPI against the server that publishes it, by schemathesis: what it says is what is so.

This is a small sample. All of it, about 12,000 cases in one to two minutes, is

    schemathesis run --request-timeout 60 http://127.0.0.1:PORT/openapi.json

A request may ask for the reasons of 20 rows: seconds on a busy machine.
"""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from ml.problem import Problem
from tests.served import Served, served, uv

SCHEMATHESIS = "schemathesis==4.32.5"
TIMEOUT_S = 300.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_problem: Problem) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), small_problem) as running:
        yield running


def test_the_server_keeps_to_its_description(server: Served, tmp_path_factory: pytest.TempPathFactory) -> None:
    environment = [uv(), "run", "--quiet", "--no-project", "--python", sys.executable, "--with", SCHEMATHESIS]
    sample = [
        "--phases",
        "examples,fuzzing",
        "--max-examples",
        "20",
        "--seed",
        "1",
        "--request-timeout",
        "60",
        "--no-color",
    ]
    ended = subprocess.run(
        [*environment, "schemathesis", "run", f"{server.url}/openapi.json", *sample],
        cwd=tmp_path_factory.mktemp("schemathesis"),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "No issues found" in ended.stdout
