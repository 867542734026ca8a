"""A release in a registry of models: MLflow's own in SQLite stands for Unity Catalog, which has no emulator."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from ml.bundle.bundle import key_of
from ml.errors import InputRefused, MlopsError, ReleaseRefused
from ml.platforms.databricks.unity_catalog import UnityCatalog
from ml.problem import Problem
from ml.release.hand_over_command import hand_over as command
from ml.release.registry import bring_into
from ml.release.stage import Stage
from tests.stages import release_into, stage

MODELS = "mlops_aws_databricks_dev.ml"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registry, and beside it a working folder where MLflow must leave nothing."""
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    yield f"sqlite:///{tmp_path / 'registry.db'}"
    assert list(working.iterdir()) == []


@pytest.fixture
def here(tmp_path: Path) -> Stage:
    return stage(tmp_path, "dev")


@pytest.fixture
def digest(here: Stage, candidate: Path, small_problem: Problem) -> str:
    return release_into(here, candidate, small_problem)


def test_a_release_is_registered_under_its_digest(here: Stage, digest: str, registry: str) -> None:
    name = bring_into(UnityCatalog(MODELS, registry, registry), here, digest, lambda _: None)
    assert name == f"{MODELS}.release_{digest.removeprefix('sha256:')}"
    (model,) = MlflowClient(registry, registry).search_registered_models()
    (version,) = model.latest_versions or []
    assert (int(version.version), version.status) == (1, "READY")
    assert str(version.source).endswith("/bundle/model")


@pytest.mark.parametrize("altered", ["model/MLmodel", "manifest.json.sig"])
def test_what_is_altered_is_refused_and_leaves_nothing(here: Stage, digest: str, registry: str, altered: str) -> None:
    key = f"{key_of(digest)}/{altered}"
    here.store.write(key, here.store.read(key).replace(b"a", b"b", 1))
    with pytest.raises(ReleaseRefused):
        bring_into(UnityCatalog(MODELS, registry, registry), here, digest, lambda _: None)
    assert MlflowClient(registry, registry).search_registered_models() == []


def test_a_second_version_is_never_taken_for_the_release(here: Stage, digest: str, registry: str) -> None:
    name = bring_into(UnityCatalog(MODELS, registry, registry), here, digest, lambda _: None)
    MlflowClient(registry, registry).delete_model_version(name, "1")
    MlflowClient(registry, registry).create_model_version(name, "somewhere")
    with pytest.raises(MlopsError, match=r"got version [23]: somebody deleted version 1"):
        bring_into(UnityCatalog(MODELS, registry, registry), here, digest, lambda _: None)


def test_a_stack_that_serves_from_its_store_needs_none(
    here: Stage, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml.runtime import Runtime

    described = {"stack": "local-dev", "cloud": "local", "platform": "process", "environment": "dev"}
    runtime = Runtime.model_validate(described | {"store_uri": here.store.uri, "tracking_uri": "", "monitor_url": ""})
    monkeypatch.setattr("ml.release.hand_over_command.stack_file", lambda _: here.file)
    monkeypatch.setattr(Runtime, "load", lambda _: runtime)
    with pytest.raises(InputRefused, match="pins no release"):
        CliRunner().invoke(command, ["--stack", "local-dev"], catch_exceptions=False)
    with pytest.raises(InputRefused, match="serves releases from its store"):
        CliRunner().invoke(command, ["--stack", "local-dev", "--release", digest], catch_exceptions=False)
