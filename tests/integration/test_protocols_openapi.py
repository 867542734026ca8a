"""The published OpenAPI against the server that publishes it, by schemathesis: what it says is what is so.

This is a small sample; `python -m benchmarks.openapi` asks more than 10,000 cases.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml.access.keys import add_key
from ml.problem import Problem
from tests.served import Served, served, uv

SCHEMATHESIS = "schemathesis==4.32.5"
TIMEOUT_S = 300.0
# A request may ask for the reasons of 20 rows: seconds on a busy machine.
SAMPLE = (
    *("--phases", "examples,fuzzing", "--max-examples", "20", "--seed", "1", "--request-timeout", "60"),
    "--suppress-health-check=too_slow",  # other work on the machine is no failure
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_problem: Problem) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), small_problem) as running:
        yield running


def keeps_to_its_description(server: Served, folder: Path, *options: str) -> None:
    environment = [uv(), "run", "--quiet", "--no-project", "--python", sys.executable, "--with", SCHEMATHESIS]
    ended = subprocess.run(
        [*environment, "schemathesis", "run", f"{server.url}/openapi.json", *SAMPLE, "--no-color", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "No issues found" in ended.stdout


def test_the_server_keeps_to_its_description(server: Served, tmp_path: Path) -> None:
    keeps_to_its_description(server, tmp_path)


def test_a_server_that_asks_who_calls_says_so_and_refuses_as_it_says(tmp_path: Path, small_problem: Problem) -> None:
    """schemathesis itself leaves the key out, or sends another, wherever one is asked for."""
    secret = add_key(tmp_path / "keys.json", "shop")
    with served(tmp_path, small_problem, "--api-keys", str(tmp_path / "keys.json")) as server:
        assert server.process.ask("GET", "/openapi.json")[0] == 401
        keeps_to_its_description(server, tmp_path, "--header", f"Authorization: Bearer {secret}")
