"""A whole training against a real MLflow server, on a sample of the real data."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities import Run

from ml.bundle.evaluation import CHOSEN_TAG, SCORE_COLUMN, Evaluation
from ml.data.findings import DataRefused
from ml.problem import Problem
from ml.runtime import Runtime
from ml.training.candidates import BASELINE
from ml.training.command import _as_text
from ml.training.command import train as command
from ml.training.features import inputs
from ml.training.tracking import Tracking, TrackingUnreachable
from ml.training.train import TrainingResult, train
from tests.sample import problem_of, write_sample


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first rows of each data file."""
    folder = tmp_path_factory.mktemp("checkout")
    write_sample(folder)
    return folder


def runtime_of(uri: str, store: Path) -> Runtime:
    return Runtime(
        stack="local-dev",
        cloud="local",
        platform="process",
        environment="dev",
        store_uri=store.as_uri(),
        tracking_uri=uri,
        monitor_url="http://127.0.0.1:1",
    )


class Training:
    """A finished training's runs, and the chosen run's artifacts in `folder`."""

    def __init__(self, uri: str, experiment_id: str, parent: str, chosen: str, folder: Path) -> None:
        self.client = MlflowClient(uri)
        self.experiment_id, self.parent, self.chosen = experiment_id, parent, chosen
        folder.mkdir()
        self.folder = Path(self.client.download_artifacts(chosen, "", str(folder)))

    def run(self, run_id: str) -> Run:
        return self.client.get_run(run_id)

    def artifacts(self, run_id: str, path: str) -> set[str]:
        return {file.path for file in self.client.list_artifacts(run_id, path)}

    @property
    def nested(self) -> dict[str, Run]:
        """The candidates' runs by name."""
        runs = self.client.search_runs([self.experiment_id], f"tags.`mlflow.parentRunId` = '{self.parent}'")
        return {run.info.run_name: run for run in runs}


@pytest.fixture(scope="module")
def problem(checkout: Path) -> Problem:
    """With a latency that nothing reaches, so one gate always fails."""
    problem = problem_of(checkout, "training-test")
    latency = problem.gates.latency.model_copy(update={"maximum_ms": 1e-6})
    return problem.model_copy(update={"gates": problem.gates.model_copy(update={"latency": latency})})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trainings")


@pytest.fixture(scope="module")
def result(problem: Problem, checkout: Path, mlflow_uri: str, folder: Path) -> TrainingResult:
    said: list[str] = []
    result = train(problem, runtime_of(mlflow_uri, folder / "store"), checkout, said.append)
    assert len(said) > 5
    return result


@pytest.fixture(scope="module")
def training(result: TrainingResult, mlflow_uri: str, folder: Path) -> Training:
    return Training(mlflow_uri, result.experiment_id, result.parent_run_id, result.run_id, folder / "first")


@pytest.fixture(scope="module")
def printed(problem: Problem, checkout: Path, mlflow_uri: str, folder: Path) -> dict[str, Any]:
    """The same training again, by the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ml.training.command.load_problem", lambda: problem)
        patch.setenv("MLOPS_RUNTIME", runtime_of(mlflow_uri, folder / "store").model_dump_json())
        said = CliRunner().invoke(command, ["--root", str(checkout), "--json"])
    assert said.exit_code == 0, said.output
    return json.loads(said.stdout)


@pytest.fixture(scope="module")
def repeated(printed: dict[str, Any], mlflow_uri: str, folder: Path) -> Training:
    names = ("experiment_id", "parent_run_id", "run_id")
    return Training(mlflow_uri, *(printed[name] for name in names), folder / "second")


def test_one_experiment_a_run_per_training_and_one_inside_it_per_candidate(
    training: Training, repeated: Training, problem: Problem
) -> None:
    assert training.experiment_id == repeated.experiment_id
    assert training.client.get_experiment(training.experiment_id).name == problem.name
    for one in (training, repeated):
        assert set(one.nested) == {BASELINE, "linear", "boosting"}
        assert {run.info.status for run in one.nested.values()} == {"FINISHED"}
        assert one.run(one.parent).info.status == "FINISHED"
        chosen = [run.info.run_id for run in one.nested.values() if run.data.tags.get(CHOSEN_TAG) == "true"]
        assert chosen == [one.chosen]


def test_every_run_says_what_it_was_made_from(training: Training, result: TrainingResult) -> None:
    evaluation = result.trained.evaluation
    for run in [*training.nested.values(), training.run(training.parent)]:
        assert run.data.tags["mlflow.source.git.commit"] == evaluation.code_commit
        assert run.data.tags["mlops.problem_digest"] == evaluation.problem_digest
        for name, digest in evaluation.data.items():
            assert run.data.tags[f"mlops.data.{name}"] == digest
    datasets = {i.dataset.name: i.dataset.digest for i in training.run(training.chosen).inputs.dataset_inputs}
    assert set(datasets) == set(evaluation.data)
    assert all(evaluation.data[name].removeprefix("sha256:").startswith(digest) for name, digest in datasets.items())


def test_metrics_and_parameters_of_every_candidate_are_logged(training: Training, result: TrainingResult) -> None:
    for candidate in result.trained.candidates:
        data = training.nested[candidate.name].data
        for name, value in candidate.validation.items():
            assert data.metrics[f"validation_{name}"] == pytest.approx(value)
        assert candidate.parameters.keys() | {"decision_threshold", "decision_threshold_from"} == data.params.keys()
    chosen = training.run(training.chosen).data.metrics
    for metric in result.trained.evaluation.metrics:
        assert chosen[f"test_{metric.name}"] == pytest.approx(metric.value)
        assert chosen[f"test_{metric.name}_baseline"] == pytest.approx(metric.baseline)


def test_curves_environment_and_events_are_kept(training: Training, result: TrainingResult) -> None:
    boosting = training.nested["boosting"].info.run_id
    curves = {f"curves/{name}.png" for name in ("roc", "pr", "calibration", "cost")}
    assert training.artifacts(training.parent, "curves") == curves | {"curves/search.png"}
    assert curves | {"curves/fairness.png"} <= training.artifacts(training.chosen, "curves")
    assert "environment.txt" in training.artifacts(training.parent, "")
    assert (training.folder / "curves" / "roc.png").read_bytes().startswith(b"\x89PNG")
    (events,) = training.artifacts(boosting, "tensorboard")
    assert "tfevents" in events
    losses = training.client.get_metric_history(boosting, "log_loss_validation")
    expected = result.trained.candidates[2].losses["validation"]
    assert [m.value for m in sorted(losses, key=lambda m: m.step)] == pytest.approx(expected.tolist())


def test_the_candidate_folder_holds_a_model_that_any_mlflow_tool_loads(
    training: Training, result: TrainingResult, problem: Problem
) -> None:
    folder = training.folder / "candidate"
    assert {p.name for p in folder.iterdir()} == {"model", "evaluation.json", "reference.parquet", "test.parquet"}
    assert Evaluation.model_validate_json((folder / "evaluation.json").read_bytes()) == result.trained.evaluation
    reference = pd.read_parquet(folder / "reference.parquet")
    assert list(reference.columns) == [*problem.feature_names, problem.target.column, SCORE_COLUMN]
    model = mlflow.pyfunc.load_model(str(folder / "model"))
    probabilities = model.predict(inputs(problem, reference))
    assert probabilities.shape == (len(reference), 2)
    np.testing.assert_allclose(probabilities[:, 1], reference[SCORE_COLUMN])
    assert model.metadata.get_input_schema().input_names() == problem.feature_names
    requirements = (folder / "model" / "requirements.txt").read_text().split()
    assert {line.split("==")[0] for line in requirements} == {
        "cloudpickle",
        "mlflow",
        "numpy",
        "pandas",
        "scikit-learn",
        "scipy",
    }


def test_the_same_inputs_give_the_same_metrics_and_the_same_bytes(training: Training, repeated: Training) -> None:
    files = {p.relative_to(training.folder) for p in (training.folder / "candidate").rglob("*") if p.is_file()}
    assert files == {p.relative_to(repeated.folder) for p in (repeated.folder / "candidate").rglob("*") if p.is_file()}
    differing = {str(f) for f in files if (training.folder / f).read_bytes() != (repeated.folder / f).read_bytes()}
    assert differing == {"candidate/model/MLmodel"}
    description = [one.folder / "candidate" / "model" / "MLmodel" for one in (training, repeated)]
    lines = [set(file.read_text().splitlines()) for file in description]
    assert {line.split(":")[0] for line in lines[0] ^ lines[1]} == {"model_uuid", "utc_time_created"}


def test_the_command_prints_the_result_and_the_gate_that_would_stop_a_release(
    printed: dict[str, Any], result: TrainingResult
) -> None:
    assert Evaluation.model_validate(printed["evaluation"]) == result.trained.evaluation
    assert printed["run_url"].endswith(printed["run_id"])
    assert set(printed["candidates"]) == {BASELINE, "linear", "boosting"}
    failed = {gate["name"]: gate["missed_by"] for gate in printed["gates"] if gate["result"] == "failed"}
    assert failed["latency_ms"] > 0
    readable = _as_text(result)
    assert "Would not be released: " in readable
    assert f"Run: {result.run_url}" in readable
    for line in (BASELINE, f"{printed['chosen']} *", "fairness.", "latency_ms"):
        assert line in readable


def test_bad_data_ends_the_training_and_leaves_no_run_to_release(
    problem: Problem, checkout: Path, mlflow_uri: str, tmp_path: Path
) -> None:
    spoilt = tmp_path / "checkout"
    shutil.copytree(checkout, spoilt)
    test_file = spoilt / problem.datasets.files[problem.split.test].path
    pd.read_parquet(test_file).drop(columns=problem.feature_names[0]).to_parquet(test_file, index=False)
    bad = problem_of(spoilt, "bad-data-test")
    with pytest.raises(DataRefused, match=problem.feature_names[0]):
        train(bad, runtime_of(mlflow_uri, tmp_path / "store"), spoilt, lambda _: None)
    client = MlflowClient(mlflow_uri)
    experiment = client.get_experiment_by_name("bad-data-test")
    assert client.search_runs([experiment.experiment_id]) == []


def test_an_interrupted_training_ends_its_runs_and_is_never_chosen(
    problem: Problem,
    checkout: Path,
    result: TrainingResult,
    mlflow_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ml.training.train.fit", lambda *_: result.trained)
    monkeypatch.setattr("ml.training.record.write_candidate", interrupt)
    interrupted = problem.model_copy(update={"name": "interrupted-test"})
    with pytest.raises(KeyboardInterrupt):
        train(interrupted, runtime_of(mlflow_uri, tmp_path / "store"), checkout, lambda _: None)
    client = MlflowClient(mlflow_uri)
    runs = client.search_runs([client.get_experiment_by_name("interrupted-test").experiment_id])
    status = {run.info.run_name: run.info.status for run in runs}
    assert status["training"] == status[result.trained.chosen.name] == "KILLED"
    assert not [run for run in runs if CHOSEN_TAG in run.data.tags]


def test_a_deleted_experiment_comes_back(mlflow_uri: str, tmp_path: Path) -> None:
    first = Tracking(runtime_of(mlflow_uri, tmp_path), "deleted-test")
    MlflowClient(mlflow_uri).delete_experiment(first.experiment_id)
    assert Tracking(runtime_of(mlflow_uri, tmp_path), "deleted-test").experiment_id == first.experiment_id


def test_without_a_server_the_answer_comes_at_once(problem: Problem, checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(TrackingUnreachable, match=r"No MLflow server answers at http://127.0.0.1:1 .*pulumi up"):
        train(problem, runtime_of("http://127.0.0.1:1", tmp_path / "store"), checkout, lambda _: None)
    assert not (tmp_path / "store").exists()
