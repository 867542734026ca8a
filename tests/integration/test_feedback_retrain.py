"""A whole retraining on a sample of the real data: champion, a year of labelled traffic, challenger, candidate."""

import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from ml.bundle.bundle import fetch, verify
from ml.bundle.evaluation import Evaluation
from ml.bundle.job_result import JobReport
from ml.bundle.manifest import Gate
from ml.errors import InputRefused, ReleaseRefused
from ml.feedback._tables import parquet
from ml.feedback.challenger import asked_for
from ml.feedback.labels import SCHEMA
from ml.feedback.lease import last_training
from ml.feedback.retrain import judge, retrain
from ml.platforms.sagemaker import train_job as sagemaker
from ml.platforms.serverless import train_job as batch
from ml.platforms.serverless.jobs import JOB_ID
from ml.platforms.serverless.training import report_key
from ml.problem import Datasets, Problem, Retraining
from ml.release.release import release
from ml.runtime import Runtime
from ml.store import Store
from ml.training.train import train
from ml.trust.keys import TrustedKeys
from ml.trust.ledger import Ledger
from tests.live import write_log

ROOT = Path(__file__).parents[2]
COUNT = itertools.count(1)
ROWS = 6000
LIVE_ROWS = 4000
RULES: dict[str, Any] = {
    "maximum_age_days": 365,
    "minimum_new_labels": 1000,
    "cooldown_days": 7,
    "comparison_fraction": 0.5,
    "minimum_comparison_rows": 500,
    "maximum_cost_increase": 0.5,
}


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def problem(small_problem: Problem, tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """The project's problem on the first rows of each file, with lenient gates, and a challenger due soon."""
    folder = tmp_path_factory.mktemp("checkout")
    files = {}
    for key, entry in small_problem.datasets.files.items():
        frame = pd.read_parquet(ROOT / small_problem.datasets.root / entry.path)
        frame.sample(ROWS, random_state=1).to_parquet(folder / entry.path, index=False)
        digest = hashlib.sha256((folder / entry.path).read_bytes()).hexdigest()
        files[key] = entry.model_copy(update={"sha256": digest})
    datasets = Datasets(**{**small_problem.datasets.model_dump(), "root": str(folder), "files": files})
    rules = {"name": f"p{abs(hash(folder)) % 10**9}", "datasets": datasets, "retraining": Retraining(**RULES)}
    return small_problem.model_copy(update=rules)


@pytest.fixture(scope="module")
def champion(mlflow_uri: str, problem: Problem, tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """DEV with a released champion."""
    store = Store((tmp_path_factory.mktemp("dev") / "store").as_uri())
    runtime = Runtime(
        stack="local-dev",
        cloud="local",
        platform="process",
        environment="dev",
        store_uri=store.uri,
        tracking_uri=mlflow_uri,
        monitor_url="http://127.0.0.1:1",
    )
    trained = train(problem, runtime, ROOT, quiet)
    digest = release(problem, runtime, trained.run_id, quiet).digest
    return runtime.model_copy(update={"release": digest})


@pytest.fixture(scope="module")
def live(champion: Runtime, problem: Problem) -> Callable[[str], Runtime]:
    """A stack with that champion, in a copy of its store, and labelled live predictions of 2017."""

    def build(folder: str) -> Runtime:
        source = Path(champion.store_uri.removeprefix("file://"))
        store = Store((source.with_name(folder)).as_uri())
        store.upload(source, ".")
        file = Path(problem.datasets.root) / problem.datasets.files[problem.split.live].path
        people = pl.read_parquet(file).filter(pl.col("AGEP").is_between(17, 89)).head(LIVE_ROWS).to_dicts()
        begun, now = datetime.now(UTC) - timedelta(hours=3), datetime.now(UTC)
        rows = [
            {
                "prediction_id": f"live-{number}",
                "subject": None,
                "at": begun + timedelta(seconds=number),
                "release": champion.release,
                "role": "champion",
                **{name: person[name] for name in problem.feature_names},
                "score": 0.5 if person[problem.target.column] == problem.target.positive else 0.3,
                "decision": 0,
                "threshold": 0.6,
                "reasons": None,
            }
            for number, person in enumerate(people)
        ]
        write_log(store, problem, rows)
        labels = {"label": [person[problem.target.column] for person in people], "source": "file", "author": "a"}
        table = pl.DataFrame(
            {
                "prediction_id": [row["prediction_id"] for row in rows],
                **labels,
                "note": None,
                "at": now,
                "arrived_at": now,
            }
        )
        store.write(f"labels/day={now.date()}/x.parquet", parquet(table.select(SCHEMA.names()).cast(SCHEMA)))
        return champion.model_copy(update={"store_uri": store.uri, "stack": folder})

    return build


def test_a_challenger_becomes_a_candidate_and_is_pinned_nowhere(
    live: Callable[[str], Runtime], champion: Runtime, problem: Problem, tmp_path: Path
) -> None:
    source = live("local-test").model_copy(update={"environment": "test"})
    verdict, _ = judge(problem, source, datetime.now(UTC))
    assert [trigger.kind for trigger in verdict.triggers if trigger.holds] == ["labels"]
    before = {file: file.read_bytes() for file in (ROOT / "stacks").iterdir()}

    done = retrain(problem, source, champion, ROOT, quiet)

    assert done.release not in (None, champion.release)
    assert {file: file.read_bytes() for file in (ROOT / "stacks").iterdir()} == before
    dev = Store(champion.store_uri)
    manifest = verify(dev, str(done.release))
    assert set(manifest.data) == {problem.split.train, problem.split.test, "live"}
    gates = {gate.name: gate.result for gate in manifest.gates}
    assert gates["expected_cost_over_champion"] == "passed"
    fetch(dev, str(done.release), tmp_path / "bundle")
    compared = Evaluation.model_validate_json((tmp_path / "bundle" / "evaluation.json").read_bytes()).champion
    assert compared is not None
    assert (compared.release, compared.rows) == (champion.release, LIVE_ROWS // 2)
    assert not [key for key in Store(source.store_uri).list("bundles") if str(done.release)[7:] in key]
    events = [(e.event, e.release) for e in Ledger(dev, "local-dev", "dev", TrustedKeys.of(dev)).entries()]
    assert ("registered", done.release) in events
    assert not [event for event, digest in events if digest == done.release and event in ("deployed", "approved")]

    result = last_training(Store(source.store_uri))
    assert result is not None
    assert (result.outcome, result.release) == ("candidate", done.release)
    assert result.details["because"] == ["labels"]
    again = retrain(problem, source, champion, ROOT, quiet)
    assert again.release is None
    assert "days lie between two" in again.verdict.hindrances[0]


def test_a_challenger_that_is_not_shown_to_be_as_good_is_refused(
    live: Callable[[str], Runtime], problem: Problem
) -> None:
    source = live("local-strict")
    strict = Retraining(**RULES | {"maximum_cost_increase": 0.0})
    released = len(list(Store(source.store_uri).list("releases")))
    with pytest.raises(ReleaseRefused, match=r"expected_cost_over_champion .* failed"):
        retrain(problem.model_copy(update={"retraining": strict}), source, source, ROOT, quiet)
    result = last_training(Store(source.store_uri))
    assert result is not None
    assert (result.outcome, result.release) == ("refused", None)
    assert len(list(Store(source.store_uri).list("releases"))) == released


@pytest.fixture
def asked(live: Callable[[str], Runtime], problem: Problem, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """What a job of a cloud is told, in a container whose training the monitor asked for."""
    told = live(f"asked-{next(COUNT)}")
    monkeypatch.setenv("MLOPS_RUNTIME", told.model_dump_json())
    monkeypatch.setenv("MLOPS_TRAINING_REASON", "drift")
    for container in (batch, sagemaker):
        monkeypatch.setattr(container, "load_problem", lambda: problem)
    return told


def require_challenge(evaluation: Evaluation, gates: Iterable[Gate], champion: str | None) -> None:
    """Trained on live rows too, and held against the champion."""
    assert evaluation.champion is not None
    assert (evaluation.champion.release, evaluation.champion.rows) == (champion, LIVE_ROWS // 2)
    assert "live" in evaluation.data
    assert "expected_cost_over_champion" in {gate.name for gate in gates}


def test_a_job_of_sagemaker_that_was_asked_for_is_compared_with_the_champion(
    asked: Runtime, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = problem.datasets.model_copy(update={"root": "data"})  # in the checkout that the job makes
    monkeypatch.setattr(sagemaker, "load_problem", lambda: problem.model_copy(update={"datasets": datasets}))
    base = tmp_path / "ml"
    (base / "input" / "config").mkdir(parents=True)
    channels = {"data": {"TrainingInputMode": "File"}}
    (base / "input" / "config" / "inputdataconfig.json").write_text(json.dumps(channels))
    shutil.copytree(problem.datasets.root, base / "input" / "data" / "data")
    job = sagemaker.folders({"SAGEMAKER_BASE_DIR": str(base)})
    assert sagemaker.run_job(job, os.environ) == 0, (base / "output" / "failure").read_text()
    report = JobReport.model_validate_json((base / "output" / "data" / "training.json").read_bytes())
    require_challenge(report.evaluation, report.gates, asked.release)


def test_a_job_of_batch_that_was_asked_for_is_compared_with_the_champion(
    asked: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(JOB_ID, "1234")
    batch.run_job()
    report = JobReport.model_validate_json(Store(asked.store_uri).read(report_key("1234")))
    require_challenge(report.evaluation, report.gates, asked.release)


def test_what_was_asked_for_where_nothing_serves_any_more_says_so(asked: Runtime, problem: Problem) -> None:
    with pytest.raises(InputRefused, match=r"serves nothing, so there is no champion"):
        asked_for("drift", problem, asked.model_copy(update={"release": None}), quiet)


def test_nothing_is_ever_released_into_a_later_environment(champion: Runtime, problem: Problem) -> None:
    for environment in ("test", "prod"):
        target = champion.model_copy(update={"environment": environment})
        with pytest.raises(InputRefused, match="promoted, never in"):
            retrain(problem, champion, target, ROOT, quiet)


def test_without_a_champion_there_is_nothing_to_challenge(champion: Runtime, problem: Problem) -> None:
    with pytest.raises(InputRefused, match="no champion"):
        judge(problem, champion.model_copy(update={"release": None}), datetime.now(UTC))
