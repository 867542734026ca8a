"""`mlops train` on Databricks, and the wheel's tasks as the stack's jobs run them.

Databricks is a double (tests/databricks.py, tests/serverless.py): the jobs are those of the planned stack, the wheel is
built and installed, its entry point is called with exactly the parameters that the jobs state. The store is moto's S3,
where each task may do what the role behind its credential may do; MLflow is a real server, asked through MLflow's own
client for Databricks.
"""

import io
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import boto3
import numpy as np
import pandas as pd
import polars as pl
import pytest
import s3fs
from click.testing import CliRunner
from databricks.sdk.service.catalog import AwsCredentials
from mlflow import MlflowClient

from ml.bundle.bundle import key_of
from ml.bundle.evaluation import EVALUATION_FILE, Evaluation
from ml.errors import InputRefused, MlopsError, ReleaseRefused
from ml.platforms.databricks.store import ADDRESS, store_credentials
from ml.platforms.databricks.store import TOKEN as SECRET
from ml.platforms.databricks.training import follow, start
from ml.problem import Problem, load_problem
from ml.release.release import release as mlops_release
from ml.runtime import Runtime
from ml.store import Store
from ml.training.command import train
from ml.training.gates import judge
from ml.training.latency import Latency
from ml.trust.keys import personal_folder
from tests import lakehouse
from tests.accounts import Guard, guard
from tests.aws import aws
from tests.conftest import rows_of
from tests.databricks import TOKEN, Workspace, workspace
from tests.databricks_stack import Stack, planned_stack
from tests.integration.conftest import mlflow_server
from tests.monitor_data import deliver, resampled
from tests.serverless import Serverless
from tests.vouched import Marks

ROOT = Path(__file__).parents[2]
REGION, CREDENTIAL = "eu-west-1", "mlops-aws-databricks-dev-training"
FEW_MS, ROWS = 0.02, 12_000


class Account(NamedTuple):
    """The stack, as if it were up."""

    stack: Stack
    workspace: Workspace
    guard: Guard
    store: Store
    compute: Serverless


@pytest.fixture(scope="module")
def stack() -> Stack:
    return planned_stack()


@pytest.fixture(scope="module")
def compute(tmp_path_factory: pytest.TempPathFactory, stack: Stack) -> Serverless:
    """What installs the wheel, once, with the tests' own key as the organisation's."""
    from ml.trust.keys import signer

    folder = tmp_path_factory.mktemp("serverless")
    signer(Store(folder.as_uri()))
    stack.lay_wheel(folder / "volumes", personal_folder())
    return Serverless(folder, folder / "volumes")


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow server that says of runs' files what a workspace says."""
    folder = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder, {"ROOT": "dbfs:/databricks/mlflow-tracking"}) as url:
        yield url


@pytest.fixture
def account(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stack: Stack, compute: Serverless, tracking: str
) -> Iterator[Account]:
    with (
        aws(monkeypatch, REGION),
        guard() as guarding,
        workspace(stack.jobs, compute, stack.keys, tracking, tmp_path / "files") as made,
    ):
        where = {"LocationConstraint": REGION}
        boto3.client("s3").create_bucket(Bucket=stack.bucket, CreateBucketConfiguration=where)
        stack.make_roles()
        monkeypatch.setenv("DATABRICKS_HOST", made.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
        store = Store(f"s3://{stack.bucket}")
        store.write("runtime/jobs.json", json.dumps(stack.runtime | {"release": None}).encode())
        yield Account(stack, made, guarding, store, compute)


@pytest.fixture
def runtime(account: Account) -> Runtime:
    """What the stack's outputs would say to whoever trains."""
    job = f"{account.workspace.url}/jobs/{account.stack.ids['train']}"
    return Runtime.model_validate(account.stack.runtime | {"release": None, "training_job": job})


@pytest.fixture
def release(account: Account, store: Store, published: str) -> str:
    """A release in the store, pinned: the jobs are told of it."""
    s3fs.S3FileSystem(skip_instance_cache=True).put(
        store.path(key_of(published)), f"{account.stack.bucket}/{key_of(published)}", recursive=True
    )
    account.store.write("runtime/jobs.json", json.dumps(account.stack.runtime | {"release": published}).encode())
    return published


def test_a_candidate_comes_back_and_is_not_released_once_it_was_changed(
    runtime: Runtime, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_RUNTIME", runtime.model_dump_json())
    done = CliRunner().invoke(train, ["--root", str(ROOT), "--json"], catch_exceptions=False)
    result, made = json.loads(done.stdout), account.workspace
    assert made.started[0]["job_id"] == account.stack.ids["train"]
    assert made.started[0]["job_parameters"] == {"reason": "person"}
    assert result["execution"] == f"{runtime.training_job}/runs/1000"
    for said in ("Bringing the dataset 2015", "The run is RUNNING", "The run is TERMINATED"):
        assert said in done.stderr
    assert "Loading the training libraries" in done.stderr  # of the task's own log
    metric = {each["name"]: each for each in result["evaluation"]["metrics"]}["roc_auc"]
    assert metric["value"] > metric["baseline"] > 0.7
    client = MlflowClient(tracking_uri="databricks")
    run = client.get_run(result["run_id"])
    assert client.get_experiment(run.info.experiment_id).name == f"/Shared/mlops/{load_problem().name}"
    assert "candidate/model" in {each.path for each in client.list_artifacts(result["run_id"], "candidate")}
    assert set(made.credentials_given) == {CREDENTIAL}
    assert not account.guard.refused

    monkeypatch.setenv("MLOPS_TRUSTED_KEYS", str(personal_folder()))
    (tmp_path / "model.pkl").write_bytes(Marks(tmp_path / "marker").pickled)
    client.log_artifact(result["run_id"], str(tmp_path / "model.pkl"), "candidate/model")
    with pytest.raises(ReleaseRefused, match=r"candidate/model/model\.pkl was altered"):
        mlops_release(load_problem(), runtime, result["run_id"], lambda _: None)
    assert not (tmp_path / "marker").exists()


def test_scoring_leaves_the_scores_of_the_pinned_release(
    account: Account, release: str, tmp_path: Path, small_problem: object
) -> None:
    rows = rows_of(load_problem(), 500).assign(id=np.arange(500)).rename(columns={"id": load_problem().identifier})
    rows.to_parquet(tmp_path / "people.parquet")
    account.store.write("scoring/in/people.parquet", (tmp_path / "people.parquet").read_bytes())
    asked = {"data": f"{account.store.uri}/scoring/in", "output": f"{account.store.uri}/scoring/out"}
    run = account.workspace.run({"job_id": account.stack.ids["score"], "job_parameters": asked})
    assert account.workspace.error(run) is None, (account.workspace.logs(run), account.guard.refused)
    s3fs.S3FileSystem.clear_instance_cache()
    files = [key for key in account.store.list("scoring/out") if key.endswith(".parquet")]
    scored = pd.concat(pd.read_parquet(io.BytesIO(account.store.read(key))) for key in files)
    assert len(scored) == 500
    assert set(scored["release"]) == {release}
    assert scored["score"].between(0, 1).all()
    assert not account.guard.refused


def answered(account: Account, problem: Problem, release: str, frame: pl.DataFrame, ends: datetime) -> list[str]:
    """Have the endpoint answer the rows of `frame`, ten a request, in the two hours before `ends`; their names."""
    model = f"{account.stack.catalog}.ml.release_{release.removeprefix('sha256:')}"
    tables, served = account.compute.tables, lakehouse.entity("e1", "champion", model, ends - timedelta(days=1))
    lakehouse.append(tables, lakehouse.SERVED_ENTITIES, [served], lakehouse.ENTITIES)
    parts = list(frame.iter_slices(10))
    requests = [
        lakehouse.payload(
            ends - timedelta(hours=2) * (1 - number / len(parts)),
            "e1",
            part.select(problem.feature_names).to_dicts(),
            part["score"].to_list(),
            client_request_id=f"r-{number}",
        )
        for number, part in enumerate(parts)
    ]
    lakehouse.append(tables, f"{account.stack.catalog}.ml.predictions_payload", requests, lakehouse.INFERENCE)
    return [f"r-{number}-{row}" for number, part in enumerate(parts) for row in range(part.height)]


def outcomes(problem: Problem, frame: pl.DataFrame) -> list[int]:
    """What came of it: mostly what the scores say, and in every fifth case the opposite."""
    other = next(code for code in problem.target.codes if code != problem.target.positive)
    return [
        problem.target.positive if (score >= 0.5) != (number % 5 == 0) else other
        for number, score in enumerate(frame["score"])
    ]


def test_the_monitor_reports_asks_for_training_and_the_request_starts_one(
    account: Account, release: str, store: Store, tmp_path: Path
) -> None:
    """From what an endpoint answered to a new candidate: `monitor`, labels, `monitor`, `retrain`, and so `train`."""
    problem, now = load_problem(), datetime.now(UTC)
    frame = resampled(store, release, ROWS)
    frame = frame.with_columns(AGEP=frame["AGEP"].clip(80, 95))
    ids = answered(account, problem, release, frame, now - timedelta(hours=1))
    for name in (problem.split.train, problem.split.test):
        file = problem.datasets.files[name].path
        account.store.write(f"datasets/{Path(file).name}", (ROOT / problem.datasets.root / file).read_bytes())

    made, jobs = account.workspace, account.stack.ids
    first = made.run({"job_id": jobs["monitor"]})
    logs = made.logs(first)
    assert made.error(first) is None, logs
    assert "predictions logged" in logs["monitor"]
    s3fs.S3FileSystem.clear_instance_cache()
    deliver(account.store, problem, ids, outcomes(problem, frame), now - timedelta(minutes=5))

    watched = made.run({"job_id": jobs["monitor"]})
    logs = made.logs(watched)
    assert made.error(watched) is None, logs
    assert list(logs) == ["monitor", "retrain"]
    assert "holds nothing new" in logs["monitor"]
    assert f"{ROWS:,} predictions" in logs["monitor"]
    assert "drift        alert" in logs["monitor"]
    assert "A challenger is due." in logs["retrain"]
    s3fs.S3FileSystem.clear_instance_cache()
    kept = list(account.store.list("monitoring"))
    assert {"monitoring/latest.json"} < set(kept)
    assert {Path(key).suffix for key in kept} >= {".json", ".html", ".prom"} or kept
    (request,) = account.store.list("retraining/requested")
    arrives_at = account.stack.jobs[jobs["retrain"]]["trigger"]["fileArrival"]["url"]
    assert account.store.url(request).startswith(arrives_at)

    again = made.run({"job_id": jobs["retrain"]})  # as the file's arrival does
    assert made.error(again) is None, made.logs(again)
    assert made.started[-1] == {"job_id": jobs["train"], "job_parameters": {"reason": "drift"}}
    client = MlflowClient(tracking_uri="databricks")
    experiment = client.get_experiment_by_name(f"/Shared/mlops/{problem.name}")
    assert experiment is not None
    (newest, *_) = client.search_runs([experiment.experiment_id], "tags.`mlops.chosen` = 'true'", max_results=1)
    assert newest.info.start_time > now.timestamp() * 1000
    evaluation = Evaluation.model_validate_json(
        Path(client.download_artifacts(newest.info.run_id, f"candidate/{EVALUATION_FILE}", str(tmp_path))).read_bytes()
    )
    assert evaluation.champion is not None
    assert evaluation.champion.release == release
    assert ROWS // 5 < evaluation.champion.rows < ROWS * 3 // 10  # not all of them are of the population
    assert "live" in evaluation.data
    assert "expected_cost_over_champion" in {
        gate.name for gate in judge(problem, evaluation, Latency(FEW_MS, 100), now.date())
    }
    assert not account.guard.refused


def test_a_failed_run_says_why(runtime: Runtime, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.platforms.databricks.training.upload", lambda *_: None)  # so that the task finds no data
    execution = start(load_problem(), runtime, ROOT, lambda _: None)
    with pytest.raises(MlopsError, match=r"ended as RUN_EXECUTION_ERROR: .*There is no s3://mlops-.*/datasets/"):
        follow(execution, lambda _: None, lambda _: None, poll_s=FEW_MS)


@pytest.mark.parametrize("given", ["x", "https://dbc-1.cloud.databricks.com/jobs/1"])
def test_only_a_run_can_be_followed(given: str) -> None:
    with pytest.raises(InputRefused, match="is not the page of a run of Databricks"):
        follow(given, lambda _: None, lambda _: None)


def test_who_is_nobody_is_told_so(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "another")
    with pytest.raises(MlopsError, match="Databricks refuses: who are you"):
        start(load_problem(), runtime, ROOT, lambda _: None)


def test_a_scoring_without_a_release_says_what_it_needs(account: Account) -> None:
    run = account.workspace.run({"job_id": account.stack.ids["score"], "job_parameters": {"data": "x", "output": "y"}})
    assert "A scoring needs a pinned release" in str(account.workspace.error(run))


def test_a_scoring_that_is_told_nothing_says_what_it_needs(account: Account, release: str) -> None:
    run = account.workspace.run({"job_id": account.stack.ids["score"]})
    assert "A scoring needs a pinned release and the job's parameters" in str(account.workspace.error(run))


KEYS = AwsCredentials(access_key_id="ASIATEMPORARY", secret_access_key="of-an-hour", session_token="session")  # noqa: S106


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace that is asked for keys alone."""
    with workspace({}, None, lambda _: KEYS) as made:
        monkeypatch.setenv("DATABRICKS_HOST", made.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name, raising=False)
        yield made


def test_keys_are_asked_of_databricks_for_those_who_have_the_token_alone(asked: Workspace) -> None:
    with store_credentials(CREDENTIAL, REGION):
        found = boto3.Session().get_credentials()
        assert found is not None
        assert found.get_frozen_credentials().access_key == "ASIATEMPORARY"
        assert found.method == "container-role"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(os.environ[ADDRESS])
        for strange in (
            {"Host": "page.example"},
            {"Host": "localhost"},
            {"Origin": "http://page.example"},
            {"Authorization": "\u00e9"},
        ):
            request = urllib.request.Request(
                os.environ[ADDRESS], headers={"Authorization": os.environ[SECRET]} | strange
            )
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(request)
    assert asked.credentials_given == [CREDENTIAL]
    assert ADDRESS not in os.environ


def test_a_credential_that_is_refused_is_said_to_be(asked: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "another")
    with store_credentials(CREDENTIAL, REGION), pytest.raises(Exception, match="Unity Catalog gives no keys"):
        boto3.Session().client("s3").list_buckets()
