"""A release in Unity Catalog: MLflow's own client for it, against a double of the service (tests/unity_catalog.py).

The double is a workspace on a port; what is uploaded goes into moto's S3, by the keys that the double hands out.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import mlflow.artifacts
import mlflow.pyfunc
import numpy as np
import pytest
import s3fs
import yaml
from click.testing import CliRunner
from databricks.sdk.service.catalog import AwsCredentials
from mlflow import MlflowClient
from mlflow.protos import databricks_uc_registry_messages_pb2 as messages

from ml.bundle.bundle import key_of
from ml.bundle.evaluation import CHOSEN_TAG
from ml.errors import MlopsError, ReleaseRefused
from ml.platforms.databricks.unity_catalog import UNITY_CATALOG, UnityCatalog
from ml.problem import Problem
from ml.release.command import release as command
from ml.release.registry import bring_into
from ml.release.release import ALIAS, RELEASE_TAG
from ml.release.stackfile import pinned
from ml.release.stage import Stage
from ml.runtime import Runtime
from tests.aws import aws
from tests.conftest import rows_of
from tests.databricks import TOKEN, Workspace, workspace
from tests.integration.conftest import mlflow_server
from tests.served import write_mlflow_candidate
from tests.stages import release_into, stage
from tests.unity_catalog import Registry
from tests.vouched import vouch

REGION, STORE, MODELS = "eu-west-1", "s3://store-of-dev", "mlops_aws_databricks_dev.ml"
KEYS = AwsCredentials(access_key_id="ASIATEMPORARY", secret_access_key="of-an-hour", session_token="session")  # noqa: S106
WRITE, READ = messages.MODEL_VERSION_OPERATION_READ_WRITE, messages.MODEL_VERSION_OPERATION_READ


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = "dbfs:/databricks/mlflow-tracking"
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), {"ROOT": root}) as url:
        yield url


@pytest.fixture(scope="module")
def cloud() -> Iterator[None]:
    """One for all: MLflow's client remembers whom it has asked."""
    with pytest.MonkeyPatch.context() as patch, aws(patch, REGION):
        where = {"LocationConstraint": REGION}
        boto3.client("s3").create_bucket(Bucket=STORE.removeprefix("s3://"), CreateBucketConfiguration=where)
        yield


@pytest.fixture
def account(cloud: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tracking: str) -> Iterator[Workspace]:
    monkeypatch.chdir(tmp_path)
    with workspace({}, None, lambda _: KEYS, tracking, tmp_path / "files") as made:
        monkeypatch.setenv("DATABRICKS_HOST", made.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
        made.registry = Registry(f"{STORE}/unity", (MODELS,), KEYS)
        yield made


@pytest.fixture
def registry(account: Workspace) -> Registry:
    assert account.registry is not None
    return account.registry


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory, small_problem: Problem) -> Path:
    """With a signature, which Unity Catalog demands."""
    folder = tmp_path_factory.mktemp("candidate") / "candidate"
    write_mlflow_candidate(folder, small_problem)
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Stage:
    return stage(tmp_path, "dev")


@pytest.fixture
def digest(here: Stage, candidate: Path, small_problem: Problem) -> str:
    return release_into(here, candidate, small_problem)


def test_a_release_gets_there_whole_once_and_answers_as_it_was_released(
    registry: Registry, here: Stage, digest: str, small_problem: Problem, tmp_path: Path
) -> None:
    said: list[str] = []
    names = [bring_into(UnityCatalog(MODELS), here, digest, said.append) for _ in range(2)]
    name = f"{MODELS}.release_{digest.removeprefix('sha256:')}"
    assert not list(tmp_path.glob("mlflow.db")), "a database of MLflow's own"
    assert names == [name] * 2
    assert said[-1] == f"It is there already: {name}"
    (version,) = registry.versions[name].values()
    assert (version.version, version.status) == ("1", messages.READY)
    assert {each for each in registry.given if each[2] == WRITE} == {(name, 1, WRITE)}

    uploaded = s3fs.S3FileSystem(skip_instance_cache=True).find(version.storage_location)
    kept = [key.partition("/model/")[2] for key in here.store.list(f"{key_of(digest)}/model")]
    below = version.storage_location.removeprefix("s3://")
    assert sorted(path.removeprefix(f"{below}/") for path in uploaded) == sorted(kept)
    folder = mlflow.artifacts.download_artifacts(
        f"models:/{name}/1", dst_path=str(tmp_path / "served"), registry_uri=UNITY_CATALOG
    )
    for key in kept:
        assert (Path(folder) / key).read_bytes() == here.store.read(f"{key_of(digest)}/model/{key}")
    uploaded_pickle = next(path for path in uploaded if path.endswith("model.pkl"))
    content = s3fs.S3FileSystem(skip_instance_cache=True).cat_file(uploaded_pickle)
    for path in (uploaded_pickle, f"{below}/evil.pkl"):
        s3fs.S3FileSystem(skip_instance_cache=True).pipe_file(path, b"not what was released")
        with pytest.raises(ReleaseRefused, match=rf"is not the release: {path.rpartition('/')[2]}"):
            bring_into(UnityCatalog(MODELS), here, digest, said.append)
        s3fs.S3FileSystem(skip_instance_cache=True).pipe_file(uploaded_pickle, content)
    answers = mlflow.pyfunc.load_model(folder).predict(rows_of(small_problem, 5))
    assert np.asarray(answers).shape == (5, 2)
    assert (name, 1, READ) in registry.given


def test_a_cut_upload_is_said_to_be_one(registry: Registry, here: Stage, digest: str) -> None:
    name = f"{MODELS}.release_{digest.removeprefix('sha256:')}"
    client = MlflowClient(tracking_uri="databricks", registry_uri=UNITY_CATALOG)
    client.create_registered_model(name)
    registry.answer("POST", "/api/2.0/mlflow/unity-catalog/model-versions/create", {"name": name, "source": "x"})
    with pytest.raises(MlopsError, match=r"is PENDING_REGISTRATION in the registry: an earlier attempt did not end"):
        bring_into(UnityCatalog(MODELS), here, digest, lambda _: None)
    client.delete_registered_model(name)
    assert bring_into(UnityCatalog(MODELS), here, digest, lambda _: None) == name


def test_a_model_without_a_signature_is_refused_and_nothing_is_served(
    registry: Registry, tmp_path: Path, here: Stage, small_problem: Problem, candidate: Path
) -> None:
    bare = Path(shutil.copytree(candidate, tmp_path / "bare"))
    description = yaml.safe_load((bare / "model" / "MLmodel").read_text())
    del description["signature"]
    (bare / "model" / "MLmodel").write_text(yaml.safe_dump(description))
    with pytest.raises(MlopsError, match="did not contain any signature metadata"):
        bring_into(UnityCatalog(MODELS), here, release_into(here, bare, small_problem, "2"), lambda _: None)
    assert [len(versions) for versions in registry.versions.values()] == [0]


@pytest.mark.usefixtures("registry")
def test_a_schema_that_is_not_there_is_said(here: Stage, digest: str) -> None:
    with pytest.raises(MlopsError, match=r"The registry doesn't take somewhere\.else\.release_.*There is no schema"):
        bring_into(UnityCatalog("somewhere.else"), here, digest, lambda _: None)


def test_mlops_release_registers_its_candidate_and_the_release_there_before_it_pins(
    registry: Registry, here: Stage, candidate: Path, small_problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime(
        stack="aws-databricks-dev",
        cloud="aws",
        platform="databricks",
        environment="dev",
        store_uri=here.store.uri,
        tracking_uri="databricks",
        monitor_url="",
        model_registry=MODELS,
    )
    client = MlflowClient(tracking_uri="databricks", registry_uri=UNITY_CATALOG)
    experiment = client.create_experiment(f"/Shared/mlops/{small_problem.name}")
    run_id = client.create_run(experiment).info.run_id
    client.log_artifacts(run_id, str(candidate), "candidate")
    client.set_terminated(run_id)
    client.set_tag(run_id, CHOSEN_TAG, "true")
    vouch(runtime, small_problem, run_id, candidate)
    monkeypatch.setattr(Runtime, "load", lambda _: runtime)
    monkeypatch.setattr("ml.release.command.stack_file", lambda _: here.file)
    monkeypatch.setattr("ml.release.command.load_problem", lambda: small_problem)
    results = [
        json.loads(CliRunner().invoke(command, ["--stack", runtime.stack, "--json"], catch_exceptions=False).stdout)
        for _ in range(2)
    ]
    assert [each["is_new"] for each in results] == [True, False]
    digest = results[0]["digest"]
    assert pinned(here.file) == digest == results[1]["digest"]
    model, served = f"{MODELS}.{small_problem.name}", f"{MODELS}.release_{digest.removeprefix('sha256:')}"
    assert set(registry.versions) == {model, served}
    assert [len(registry.versions[name]) for name in (model, served)] == [1, 1]
    version = registry.versions[model][1]
    assert (version.run_id, version.status) == (run_id, messages.READY)
    assert (RELEASE_TAG, digest) in {(tag.key, tag.value) for tag in version.tags}
    assert [(each.alias, each.version) for each in registry.models[model].aliases] == [(ALIAS, "1")]
    assert client.get_run(run_id).data.tags[RELEASE_TAG] == digest
