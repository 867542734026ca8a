import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ml.training.command import train


def test_help_shows_an_example() -> None:
    said = CliRunner().invoke(train, ["--help"])
    assert said.exit_code == 0
    assert "Example: mlops train --stack local-dev" in said.output


def test_a_checkout_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    assert CliRunner().invoke(train, ["--root", str(tmp_path / "none")]).exit_code == 2


def test_without_a_server_it_ends_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = {
        "stack": "local-dev",
        "cloud": "local",
        "platform": "process",
        "environment": "dev",
        "store_uri": tmp_path.as_uri(),
        "tracking_uri": "http://127.0.0.1:1",
        "monitor_url": "http://127.0.0.1:1",
    }
    monkeypatch.setenv("MLOPS_RUNTIME", json.dumps(outputs))
    said = subprocess.run([sys.executable, "-m", "ml", "train"], capture_output=True, text=True, timeout=120)
    assert said.returncode == 1
    assert "No MLflow server answers at http://127.0.0.1:1" in said.stderr
    assert "Traceback" not in said.stderr
    assert said.stdout == ""
