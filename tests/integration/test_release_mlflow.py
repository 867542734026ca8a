"""A release against a real MLflow server: gated, repeatable after a kill at any point, and loadable by MLflow."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from ml.bundle.bundle import fetch, verify
from ml.bundle.evaluation import CHOSEN_TAG
from ml.errors import InputRefused, ReleaseRefused
from ml.model.model import ServedModel
from ml.problem import Problem
from ml.release import release as releasing
from ml.release.command import release as command
from ml.release.release import ALIAS, RELEASE_TAG, release
from ml.release.stackfile import pinned, stated_head
from ml.runtime import Runtime
from ml.store import Store
from ml.training.latency import Latency
from ml.trust.keys import TrustedKeys
from ml.trust.ledger import Ledger
from ml.trust.signing import verify_signature
from ml.trust.voucher import PREFIX
from tests.vouched import vouch


@pytest.fixture
def problem(small_problem: Problem, tmp_path: Path) -> Problem:
    """A problem with a name, so an experiment and a registry, of its own."""
    return small_problem.model_copy(update={"name": f"p{abs(hash(tmp_path)) % 10**9}"})


@pytest.fixture
def runtime(mlflow_uri: str, store: Store) -> Runtime:
    return Runtime(
        stack="local-dev",
        cloud="local",
        platform="process",
        environment="dev",
        store_uri=store.uri,
        tracking_uri=mlflow_uri,
        monitor_url="http://127.0.0.1:1",
    )


@pytest.fixture
def trained(
    tmp_path: Path, runtime: Runtime, problem: Problem, make_candidate: Callable[..., None]
) -> Callable[..., str]:
    """Log a training's chosen candidate to MLflow and get its run."""
    client = MlflowClient(runtime.tracking_uri)
    experiment = client.create_experiment(problem.name)

    def train(name: str = "a", *, chosen: bool = True, **given: Any) -> str:
        make_candidate(tmp_path / name / "candidate", problem, stamp=name, **given)
        run_id = client.create_run(experiment).info.run_id
        client.log_artifacts(run_id, str(tmp_path / name))
        client.set_terminated(run_id)
        if chosen:
            vouch(runtime, problem, run_id, tmp_path / name / "candidate")
            client.set_tag(run_id, CHOSEN_TAG, "true")
        return str(run_id)

    return train


def quiet(_line: str) -> None:
    """No progress."""


def written(store: Store) -> list[str]:
    """What is in the store beside what trainings say of their candidates."""
    return [key for key in store.list() if not key.startswith(PREFIX)]


def test_a_run_becomes_a_release_that_server_and_mlflow_load_alike(
    problem: Problem, runtime: Runtime, store: Store, trained: Callable[..., str], tmp_path: Path
) -> None:
    run_id = trained()
    result = release(problem, runtime, None, quiet)
    manifest = verify(store, result.digest)
    assert (result.is_new, manifest.version, manifest.tracking_run) == (True, "1", run_id)
    assert manifest == result.manifest
    assert manifest.passed
    trusted = TrustedKeys.of(store)
    assert verify_signature(store, result.digest, trusted).name == "author@example.org"
    assert {gate.name for gate in manifest.gates} >= {"roc_auc", "latency_ms", "data_leakage"}
    client = MlflowClient(runtime.tracking_uri)
    version = client.get_model_version_by_alias(problem.name, ALIAS)
    assert (version.version, version.tags[RELEASE_TAG], version.run_id) == ("1", result.digest, run_id)
    assert client.get_run(run_id).data.tags[RELEASE_TAG] == result.digest

    fetch(store, result.digest, tmp_path / "copy")
    rows = pd.read_parquet(tmp_path / "copy" / "reference.parquet").head(20)
    features = rows[problem.feature_names]
    served = ServedModel.load(tmp_path / "copy", manifest, 100)
    answer, scores, _ = served.answer(features.to_json(orient="records").encode(), "x")
    predictions = json.loads(answer)["predictions"]
    np.testing.assert_allclose([p["score"] for p in predictions], rows["score"])
    by_mlflow = mlflow.pyfunc.load_model(str(tmp_path / "copy" / "model")).predict(features)
    np.testing.assert_array_equal(np.asarray(by_mlflow), (scores >= 0.5).astype(int))


def test_the_same_run_is_one_release_and_the_next_run_another(
    problem: Problem, runtime: Runtime, store: Store, trained: Callable[..., str]
) -> None:
    first_run = trained("a")
    first = release(problem, runtime, None, quiet)
    again = release(problem, runtime, first_run, quiet)
    assert (again.digest, again.is_new) == (first.digest, False)
    second_run = trained("b")
    second = release(problem, runtime, None, quiet)
    assert second.manifest.tracking_run == second_run
    assert second.manifest.version == "2"
    assert second.digest != first.digest
    assert second.manifest.bundle_digest == first.manifest.bundle_digest, "the same inputs give the same bundle"
    assert release(problem, runtime, first_run, quiet).digest == first.digest
    entries = Ledger(store, runtime.stack, runtime.environment, TrustedKeys.of(store)).entries()
    assert [(e.event, e.release) for e in entries] == [
        (event, digest) for digest in (first.digest, second.digest) for event in ("registered", "gated")
    ], "each release is recorded once, however often it is made"


def test_a_failing_gate_refuses_with_a_table_and_writes_nothing(
    problem: Problem, runtime: Runtime, store: Store, trained: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained()
    monkeypatch.setattr(releasing, "served_latency", lambda *_: Latency(20_000.0, 100))
    with pytest.raises(ReleaseRefused) as refused:
        release(problem, runtime, None, quiet)
    assert refused.value.exit_code == 3
    assert "latency_ms" in str(refused.value)
    assert "failed" in str(refused.value)
    assert written(store) == []
    client = MlflowClient(runtime.tracking_uri)
    assert client.search_registered_models(f"name = '{problem.name}'") == []


def test_a_kill_at_any_point_leaves_nothing_half_done_and_the_next_try_completes_it(
    problem: Problem, runtime: Runtime, store: Store, trained: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def die(*_: object) -> None:
        raise KilledError

    run_id, write, written = trained(), Store.write, [0]

    def dying_write(self: Store, key: str, data: bytes) -> None:
        written[0] += 1
        if written[0] == 3:
            raise KilledError
        write(self, key, data)

    for target, name, death in (
        (releasing, "_new_version", die),
        (releasing, "claim", die),
        (releasing, "publish", die),
        (Store, "write", dying_write),
        (releasing, "_mark", die),
    ):
        with monkeypatch.context() as context:
            context.setattr(target, name, death)
            with pytest.raises(KilledError):
                release(problem, runtime, run_id, quiet)
    result = release(problem, runtime, run_id, quiet)
    verify(store, result.digest)
    bundles = {key.split("/")[2] for key in store.list("bundles")}
    assert bundles == {result.digest.removeprefix("sha256:")}, "one run, one release"
    versions = MlflowClient(runtime.tracking_uri).search_model_versions(f"name = '{problem.name}'")
    assert [v.version for v in versions] == [result.manifest.version] == ["1"]


def test_a_damaged_release_is_published_again_under_the_same_digest(
    problem: Problem, runtime: Runtime, store: Store, trained: Callable[..., str]
) -> None:
    trained()
    digest = release(problem, runtime, None, quiet).digest
    key = next(key for key in store.list("bundles") if key.endswith("model.pkl"))
    store.write(key, b"damaged")
    assert release(problem, runtime, None, quiet).digest == digest
    verify(store, digest)


def test_what_is_no_finished_training_is_refused(
    problem: Problem, runtime: Runtime, store: Store, trained: Callable[..., str]
) -> None:
    with pytest.raises(InputRefused, match="no finished training"):
        release(problem, runtime, None, quiet)
    with pytest.raises(InputRefused, match="has no run"):
        release(problem, runtime, "0" * 32, quiet)
    with pytest.raises(ReleaseRefused, match="not the chosen candidate"):
        release(problem, runtime, trained("b", chosen=False), quiet)
    trained("c")
    changed = problem.model_copy(update={"title": "Something else"})
    with pytest.raises(ReleaseRefused, match="has changed since the training"):
        release(changed, runtime, None, quiet)
    assert written(store) == []


def test_the_command_pins_what_it_released(
    problem: Problem,
    runtime: Runtime,
    trained: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained()
    (tmp_path / "Pulumi.yaml").write_text("stackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    file = tmp_path / "stacks" / "Pulumi.local-dev.yaml"
    file.write_text("# kept\nconfig:\n  mlops:owner: me # kept too\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Runtime, "load", lambda _stack: runtime)
    monkeypatch.setattr("ml.release.command.load_problem", lambda: problem)

    unpinned = CliRunner().invoke(command, ["--stack", "local-dev", "--no-pin", "--json"])
    assert unpinned.exit_code == 0, unpinned.output
    digest = json.loads(unpinned.stdout)["digest"]
    assert pinned(file) is None
    done = CliRunner().invoke(command, ["--stack", "local-dev"])
    assert done.exit_code == 0, done.output
    assert "pulumi up --stack local-dev" in done.stdout
    assert digest in done.stdout
    assert "roc_auc" in done.stdout
    assert pinned(file) == digest
    stated = f"  mlops:release: {digest}\n  mlops:ledger: {stated_head(file)}\n"
    assert file.read_text() == f"# kept\nconfig:\n  mlops:owner: me # kept too\n{stated}"
    wrong = CliRunner().invoke(command, ["--stack", "local-nowhere"])
    assert isinstance(wrong.exception, InputRefused)
    assert "has no file" in str(wrong.exception)
