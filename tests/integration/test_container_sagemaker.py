"""SageMaker's training contract, on folders of this machine: what it lays down before, and what it finds afterwards."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from ml.platforms.sagemaker import train_job as sagemaker
from ml.platforms.sagemaker.train_job import Job, folders, run_job
from ml.problem import Problem
from ml.release.build import read_evaluation
from tests.sample import problem_of, write_sample


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_sample(folder)
    return folder


@pytest.fixture
def problem(data: Path, monkeypatch: pytest.MonkeyPatch) -> Problem:
    """The project's problem about the sample, as an image that was built for it would hold it."""
    problem = problem_of(data, "sagemaker-sample")
    monkeypatch.setattr(sagemaker, "load_problem", lambda: problem)
    return problem


@pytest.fixture
def base(tmp_path: Path, data: Path) -> Path:
    """The folders of a job with one channel a file, as SageMaker lays them down."""
    base = tmp_path / "ml"
    write(base, "hyperparameters", {"sagemaker_region": '"eu-west-1"'})
    write(base, "resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"})
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    write(base, "inputdataconfig", {"training": channel, "testing": channel})
    for name, year in (("training", "2015"), ("testing", "2016")):
        (base / "input" / "data" / name).mkdir(parents=True)
        shutil.copy(data / f"{year}.parquet", base / "input" / "data" / name)
    for name in ("model", "output"):
        (base / name).mkdir()
    return base


def write(base: Path, name: str, value: Any) -> None:
    folder = base / "input" / "config"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value))


def job(base: Path) -> Job:
    return folders({"SAGEMAKER_BASE_DIR": str(base)})


def failure(base: Path) -> str:
    return (base / "output" / "failure").read_text()


def test_a_job_leaves_its_candidate_as_the_model(
    base: Path, problem: Problem, capsys: pytest.CaptureFixture[str]
) -> None:
    (base / "model").chmod(0o2777)
    assert run_job(job(base), {}) == 0
    assert (base / "model").stat().st_mode & 0o7777 == 0o2777  # not ours: only its owner could change it
    assert not (base / "output" / "failure").exists()
    evaluation = read_evaluation(base / "model")  # what `mlops release` makes a bundle of
    report = json.loads((base / "output" / "data" / "training.json").read_text())
    assert report["chosen"] == evaluation.candidate
    assert report["data"] == evaluation.data
    assert {gate["name"] for gate in report["gates"]} >= {"roc_auc", "latency_ms"}
    printed = capsys.readouterr().out
    assert f"roc_auc={report['metrics']['roc_auc']:.6g};" in printed


def test_a_job_that_knows_its_stack_logs_there(tmp_path: Path, base: Path, problem: Problem, mlflow_uri: str) -> None:
    runtime = {
        "stack": "aws-sagemaker-dev", "cloud": "aws", "platform": "sagemaker", "environment": "dev",
        "store_uri": (tmp_path / "store").as_uri(), "tracking_uri": mlflow_uri, "monitor_url": "http://127.0.0.1:1",
    }  # fmt: skip
    write(base, "hyperparameters", {"runtime": json.dumps(runtime)})
    assert run_job(job(base), {}) == 0
    report = json.loads((base / "output" / "data" / "training.json").read_text())
    run = MlflowClient(mlflow_uri).get_run(report["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_roc_auc"] == pytest.approx(report["metrics"]["roc_auc"])


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("hyperparameters", {"learning_rate": "0.1"}, "no hyperparameter learning_rate"),
        ("hyperparameters", {"runtime": "{"}, "'runtime' is no JSON"),
        ("hyperparameters", "{", "hyperparameters.json is not what SageMaker writes"),
        ("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}, "has 2 machines"),
        ("inputdataconfig", {"training": {"TrainingInputMode": "Pipe"}}, "channel training is piped"),
        ("inputdataconfig", [], "inputdataconfig.json is not what SageMaker writes"),
    ],
)
def test_what_is_wrong_with_a_job_is_its_failure(
    base: Path, problem: Problem, name: str, value: Any, says: str
) -> None:
    write(base, name, value)
    assert run_job(job(base), {}) == 2
    assert says in failure(base)
    assert not any((base / "model").iterdir())


def test_a_missing_channel_and_altered_data_are_named(base: Path, problem: Problem) -> None:
    file = base / "input" / "data" / "testing" / "2016.parquet"
    file.write_bytes(file.read_bytes() + b" ")
    assert run_job(job(base), {}) == 2
    assert "2016.parquet" in failure(base)
    assert "digest" in failure(base)
    shutil.rmtree(file.parent)
    assert run_job(job(base), {}) == 2
    assert "No channel holds 2016.parquet" in failure(base)
    assert not any((base / "model").iterdir())


def test_what_nobody_foresaw_is_a_failure_too(
    base: Path, problem: Problem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Problem:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(sagemaker, "load_problem", broken)
    assert run_job(job(base), {}) == 1
    assert failure(base) == "RuntimeError: no such luck"
    assert "Traceback" in capsys.readouterr().err


def test_the_image_s_command_ends_with_the_job_s_exit_code(base: Path) -> None:
    shutil.rmtree(base / "input" / "data")
    ran = subprocess.run(
        [sys.executable, "-m", "ml.container", "train"],
        env=os.environ | {"SAGEMAKER_BASE_DIR": str(base)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr == f"train: {failure(base)}\n"
