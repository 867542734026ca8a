"""`mlops train` on a stack whose platform trains: the data come into the store, and the stack's pipeline runs.

SageMaker is moto's server: it runs no pipeline, and says at once that one has succeeded.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner

from ml.data.findings import DataRefused
from ml.errors import MlopsError
from ml.problem import load_problem
from ml.runtime import Runtime
from ml.store import Store
from ml.training.command import train
from ml.training.sagemaker import run_pipeline
from tests.aws import aws

ROOT = Path(__file__).parents[2]
REGION, PIPELINE = "eu-west-1", "mlops-training"


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Runtime]:
    with aws(monkeypatch, REGION):
        arn = boto3.client("sagemaker", region_name=REGION).create_pipeline(
            PipelineName=PIPELINE,
            PipelineDefinition="{}",
            ClientRequestToken="1" * 32,
            RoleArn="arn:aws:iam::123456789012:role/orchestrating",
        )["PipelineArn"]
        yield Runtime(
            stack="aws-sagemaker-dev",
            cloud="aws",
            platform="sagemaker",
            environment="dev",
            store_uri=(tmp_path / "store").as_uri(),
            tracking_uri="arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/tracking",
            monitor_url="",
            training_job=arn,
        )


def executions() -> list[dict[str, str]]:
    client = boto3.client("sagemaker", region_name=REGION)
    return client.list_pipeline_executions(PipelineName=PIPELINE)["PipelineExecutionSummaries"]


def test_the_stacks_pipeline_is_started_on_the_problems_data(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_RUNTIME", runtime.model_dump_json())
    done = CliRunner().invoke(train, ["--root", str(ROOT), "--json"], catch_exceptions=False)
    (execution,) = executions()
    assert json.loads(done.stdout)["execution"] == execution["PipelineExecutionArn"]
    problem = load_problem()
    for name in (problem.split.train, problem.split.test):
        file = problem.datasets.files[name].path
        assert Store(runtime.store_uri).read(f"datasets/{file}") == (ROOT / problem.datasets.root / file).read_bytes()
    assert "The pipeline is Succeeded" in done.stderr
    said: list[str] = []
    run_pipeline(problem, runtime, ROOT, said.append)
    assert not [line for line in said if line.startswith("Bringing")]


def test_a_failed_pipeline_is_said(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.sagemaker.models import FakePipelineExecution

    made = FakePipelineExecution.__init__

    def failing(self: FakePipelineExecution, *args: object, **kwargs: object) -> None:
        made(self, *args, **kwargs)  # pyright: ignore[reportArgumentType]
        self.pipeline_execution_status = "Failed"

    monkeypatch.setattr(FakePipelineExecution, "__init__", failing)
    with pytest.raises(MlopsError, match="ended as Failed: its steps in SageMaker say why"):
        run_pipeline(load_problem(), runtime, ROOT, lambda _: None)


def test_other_data_than_the_problems_start_nothing(runtime: Runtime, tmp_path: Path) -> None:
    problem = load_problem()
    folder = tmp_path / problem.datasets.root
    folder.mkdir(parents=True)
    for entry in problem.datasets.files.values():
        (folder / entry.path).write_bytes(b"something else")
    with pytest.raises(DataRefused):
        run_pipeline(problem, runtime, tmp_path, lambda _: None)
    assert executions() == []
