"""`mlops train` on Databricks, and the wheel's tasks as its jobs call them.

Databricks is a double (tests/databricks.py); the store is moto's server, MLflow a real one, and the task a real process
that has no key of AWS but what a service credential gives it.
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner
from databricks.sdk.service.catalog import AwsCredentials

from ml.container.databricks_store import ADDRESS, store_credentials
from ml.errors import InputRefused, MlopsError
from ml.problem import load_problem
from ml.runtime import Runtime
from ml.store import Store
from ml.training.command import train
from ml.training.databricks import follow, start
from tests.aws import aws
from tests.databricks import CALL, TOKEN, Workspace, workspace

ROOT = Path(__file__).parents[2]
REGION, STORE, CREDENTIAL = "eu-west-1", "s3://store-of-dev", "mlops-aws-databricks-dev-training"
KEYS = AwsCredentials(access_key_id="ASIATEMPORARY", secret_access_key="of-an-hour", session_token="session")  # noqa: S106
FEW_MS = 0.02
PARAMETERS = {
    "task": "train",
    "runtime": f"{STORE}/runtime/jobs.json",
    "credential": CREDENTIAL,
    "region": REGION,
    "reason": "{{job.parameters.reason}}",
}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    with aws(monkeypatch, REGION), workspace(PARAMETERS, KEYS) as made:
        boto3.client("s3").create_bucket(
            Bucket=STORE.removeprefix("s3://"), CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
        yield made


@pytest.fixture
def runtime(account: Workspace, mlflow_uri: str) -> Runtime:
    """As the outputs of the stack would be; told to its jobs in the store."""
    outputs = {
        "stack": "aws-databricks-dev",
        "cloud": "aws",
        "platform": "databricks",
        "environment": "dev",
        "store_uri": STORE,
        "tracking_uri": mlflow_uri,
        "monitor_url": "",
    }
    Store(STORE).write("runtime/jobs.json", json.dumps(outputs).encode())
    return Runtime.model_validate(outputs | {"training_job": f"{account.url}/jobs/77"})


def test_a_candidate_comes_back(runtime: Runtime, account: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_RUNTIME", runtime.model_dump_json())
    done = CliRunner().invoke(train, ["--root", str(ROOT), "--json"], catch_exceptions=False)
    result = json.loads(done.stdout)
    assert account.started[0]["job_id"] == 77
    assert account.started[0]["job_parameters"] == {"reason": "person"}
    assert result["execution"] == f"{account.url}/jobs/77/runs/1000"
    for said in ("Bringing the dataset 2015", "The run is RUNNING", "The run is TERMINATED"):
        assert said in done.stderr
    assert "Loading the training libraries" in done.stderr  # of the task's own log
    metric = {each["name"]: each for each in result["evaluation"]["metrics"]}["roc_auc"]
    assert metric["value"] > metric["baseline"] > 0.7
    assert result["run_id"]
    assert set(account.credentials_given) == {CREDENTIAL}


def test_a_failed_run_says_why(runtime: Runtime, account: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.training.databricks.upload", lambda *_: None)  # so that the task finds no data
    execution = start(load_problem(), runtime, ROOT, lambda _: None)
    with pytest.raises(MlopsError, match=r"ended as RUN_EXECUTION_ERROR: .*There is no s3://store-of-dev/datasets/"):
        follow(execution, lambda _: None, lambda _: None, poll_s=FEW_MS)


@pytest.mark.parametrize("given", ["x", "https://dbc-1.cloud.databricks.com/jobs/1"])
def test_only_a_run_can_be_followed(given: str) -> None:
    with pytest.raises(InputRefused, match="is not the page of a run of Databricks"):
        follow(given, lambda _: None, lambda _: None)


def test_who_is_nobody_is_told_so(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "another")
    with pytest.raises(MlopsError, match="Databricks refuses: who are you"):
        start(load_problem(), runtime, ROOT, lambda _: None)


def call(account: Workspace, **parameters: str) -> subprocess.CompletedProcess[str]:
    """As a job calls a task of the wheel."""
    words = [f"--{key}={value}" for key, value in (PARAMETERS | {"reason": "x"} | parameters).items()]
    command = [sys.executable, "-c", CALL, "mlops-databricks", *words]
    return subprocess.run(command, env=account.environment(), capture_output=True, text=True, check=False)


def test_a_scoring_without_a_release_says_what_it_needs(runtime: Runtime, account: Workspace) -> None:
    ended = call(account, task="score", data="s3://x", output="s3://y")
    assert ended.returncode != 0
    assert "A scoring needs a pinned release" in ended.stderr


def test_a_task_that_there_is_none_of_is_refused(account: Workspace) -> None:
    ended = call(account, task="dance")
    assert ended.returncode != 0
    assert "'dance' is not one of 'train', 'score', 'monitor', 'retrain'" in ended.stderr


def test_keys_are_asked_of_databricks_for_those_who_have_the_token_alone(
    account: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", account.url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with store_credentials(CREDENTIAL, REGION):
        found = boto3.Session().get_credentials()
        assert found is not None
        assert found.get_frozen_credentials().access_key == "ASIATEMPORARY"
        assert found.method == "container-role"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(os.environ[ADDRESS])
    assert ADDRESS not in os.environ


def test_a_credential_that_is_refused_is_said_to_be(account: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", account.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "another")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with store_credentials(CREDENTIAL, REGION), pytest.raises(Exception, match="Unity Catalog gives no keys"):
        boto3.Session().client("s3").list_buckets()
