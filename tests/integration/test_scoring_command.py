"""`mlops score` as a script meets it: exit codes, JSON, sentences, and no library that it doesn't need."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ml.problem import Problem
from ml.store import Store
from tests.conftest import rows_of

ROWS = 100


@pytest.fixture
def source(tmp_path: Path, small_problem: Problem) -> Path:
    rows_of(small_problem, ROWS).assign(id=np.arange(ROWS)).to_csv(tmp_path / "people.csv", index=False)
    return tmp_path / "people.csv"


def score(store: Store, release: str, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "ml", "score", "--store", store.uri, "--release", release, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_says_what_it_did_as_json(tmp_path: Path, source: Path, store: Store, published: str) -> None:
    done = score(store, published, str(source), str(tmp_path / "out"), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said.items() >= {"release": published, "rows": ROWS, "aside": 0, "is_complete": True}.items()


def test_wrong_input_and_a_wrong_release_have_their_exit_codes(
    tmp_path: Path, source: Path, store: Store, published: str
) -> None:
    text = source.read_text().splitlines()
    source.write_text("\n".join([*text[:-1], text[-1].replace(",", ",-7,", 1)]))
    refused = score(store, published, str(source), str(tmp_path / "out"))
    assert refused.returncode == 2
    assert f"{source}: row 99, expected 17 values, got 18" in refused.stderr
    assert "Traceback" not in refused.stderr
    unknown = score(store, f"sha256:{'0' * 64}", str(source), str(tmp_path / "out"))
    assert unknown.returncode == 3
    assert "is not in the store" in unknown.stderr
    assert not (tmp_path / "out").exists()
