import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ml.cli import main
from ml.training.command import train


def test_help_shows_an_example() -> None:
    said = CliRunner().invoke(train, ["--help"])
    assert said.exit_code == 0
    assert "Example: mlops train --stack local-dev" in said.output


def test_a_checkout_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    assert CliRunner().invoke(train, ["--root", str(tmp_path / "none")]).exit_code == 2


def test_without_a_server_it_ends_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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
    monkeypatch.setattr("sys.argv", ["mlops", "train", "--root", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert "mlops: No MLflow server answers at http://127.0.0.1:1" in printed.err
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []
