"""What tests of release and serving share: a small problem, and a candidate folder as training leaves it."""

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, settings

from ml.bundle.bundle import MANIFEST_FILE, digest_of, publish
from ml.bundle.definition import measured_under
from ml.bundle.evaluation import Evaluation
from ml.bundle.manifest import Gate, GroupRates, MetricResult
from ml.problem import Categorical, Problem, load_problem
from ml.release.build import Origin, build
from ml.store import Store
from ml.training.provenance import problem_digest
from ml.trust.keys import TrustedKeys, signer
from ml.trust.signing import sign
from tests.shared import shared_folder

if TYPE_CHECKING:
    import pandas as pd

# Other work on the machine is no failure: what is too slow shows in benchmarks, not in tests of a law.
settings.register_profile("laws", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("laws")

TESTS = Path(__file__).parent

# Before any test module is imported: they are about the reference problem, whatever problem a fork has.
REFERENCE = TESTS / "reference"
os.environ["MLOPS_PROBLEM"] = str(REFERENCE / "problem.yaml")

LENIENT = {
    "data_leakage": {"maximum_single_feature_roc_auc": 1.0},
    "quality": {
        "bootstrap_samples": 200,
        "confidence": 0.95,
        "roc_auc": {"minimum": 0.5, "better_than_baseline_by": 0.0},
        "pr_auc": {"minimum": 0.5, "better_than_baseline_by": 0.0},
        "expected_cost": {"maximum": 1.0, "better_than_baseline_by": 0.0},
        "calibration_error": {"maximum": 0.5},
    },
    "evidence": {"minimum_positives": 2, "minimum_negatives": 2},
    "fairness": {"minimum_group_rows": 1, "minimum_group_cases": 1},
    "latency": {"rows": 1, "quantile": 0.5, "maximum_ms": 10_000.0},
    "shadow": {"minimum_rows": 10, "maximum_rows": 100, "maximum_changed_decisions": 1.0},
}


# A worker takes a file at a time. What takes minutes must not come last, when the other worker has nothing to do.
LONGEST_FIRST = ("e2e", "engine", "integration", "contract", "unit")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The layers from the slowest to the fastest, each in its own order."""
    items.sort(key=lambda item: LONGEST_FIRST.index(item.path.relative_to(TESTS).parts[0]))


def pytest_configure() -> None:
    """Before workers start: they and this process share a folder."""
    shared_folder()


@pytest.fixture(scope="session", autouse=True)
def own_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or makes a key, or anything else, in the configuration folder of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("MLOPS_SIGN_AS", "author@example.org")
        yield


@pytest.fixture(scope="session")
def small_problem() -> Problem:
    """The project's problem with gates that anything passes."""
    definition = load_problem().model_dump()
    for attribute in definition["protected"]:
        attribute["limits"] = dict.fromkeys(attribute["limits"], 1.0)
    return Problem.model_validate(definition | {"gates": LENIENT, "waivers": []})


@pytest.fixture
def set_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Problem], None]]:
    """Make another problem the project's, also for modules that already hold `load_problem`."""

    def set_(problem: Problem) -> None:
        (tmp_path / "problem.yaml").write_text(problem.model_dump_json())  # JSON is YAML
        monkeypatch.setenv("MLOPS_PROBLEM", str(tmp_path / "problem.yaml"))
        load_problem.cache_clear()

    yield set_
    load_problem.cache_clear()


def rows_of(problem: Problem, count: int, seed: int = 1) -> "pd.DataFrame":
    """Valid random rows."""
    import pandas as pd  # seconds: only for the tests that need a model

    random = np.random.default_rng(seed)
    columns = {
        f.name: random.choice(list(f.codes), count)
        if isinstance(f, Categorical)
        else random.integers(f.minimum, f.maximum, count, endpoint=True)
        for f in problem.features
    }
    return pd.DataFrame(columns).astype("int64")


def evaluation_of(problem: Problem) -> Evaluation:
    """One that passes the gates of the project's problem, and so those of the small one."""
    metrics = {
        "roc_auc": (0.9, 0.2),
        "pr_auc": (0.9, 0.2),
        "calibration_error": (0.01, 0.0),
        "expected_cost": (0.2, -0.3),
    }
    return Evaluation(
        candidate="linear",
        parameters={"C": 1.0, "solver": "lbfgs", "seed": None},
        decision_threshold=0.5,
        train_rows=2000,
        train_positives=1000,
        test_rows=2000,
        test_positives=1000,
        metrics=tuple(
            MetricResult(
                name=name, value=value, baseline=0.7, difference_low=difference, difference_high=difference + 0.1
            )
            for name, (value, difference) in metrics.items()
        ),
        fairness=tuple(
            GroupRates(
                attribute=attribute.column,
                group=group,
                rows=1000,
                positives=500,
                rates={"true_positive_rate": 0.8, "false_positive_rate": 0.2},
                judged=True,
            )
            for attribute in problem.protected
            for group in ("a", "b")
        ),
        single_feature_roc_auc=dict.fromkeys(problem.feature_names, 0.6),
        data={"2015": f"sha256:{'1' * 64}"},
        code_commit="0" * 40,
        code_modified=False,
        problem_digest=problem_digest(problem),
        measured_under=measured_under(problem),
        environment={"python": "3.11"},
    )


def write_candidate(folder: Path, problem: Problem, *, seed: int = 1, stamp: str = "a") -> None:
    """A candidate folder; `stamp` is what MLflow would make different at each training."""
    from sklearn.linear_model import LogisticRegression

    rows = rows_of(problem, 400, seed)
    labels = (rows.sum(axis=1) > rows.sum(axis=1).median()).astype(int)
    model = LogisticRegression(max_iter=500).fit(rows, labels)
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.pkl").write_bytes(pickle.dumps(model))
    description = {
        "flavors": {
            "python_function": {"loader_module": "mlflow.sklearn", "model_path": "model.pkl"},
            "sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"},
        },
        "mlflow_version": "3",
        "model_uuid": stamp,
        "model_id": stamp,
        "run_id": stamp,
        "artifact_path": f"/somewhere/{stamp}",
        "utc_time_created": stamp,
    }
    (folder / "model" / "MLmodel").write_text(yaml.safe_dump(description), encoding="utf-8")
    (folder / "evaluation.json").write_text(evaluation_of(problem).model_dump_json(), encoding="utf-8")
    target = {problem.target.column: labels, "score": model.predict_proba(rows)[:, 1]}
    rows.assign(**target).to_parquet(folder / "reference.parquet", index=False)
    rows_of(problem, 300, seed + 1000).to_parquet(folder / "test.parquet", index=False)


def origin(version: str = "1") -> Origin:
    return Origin(
        version=version,
        created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        created_by="someone@example.org",
        gates=(Gate(name="roc_auc", measured=0.8, demanded="at least 0.5", result="passed"),),
        tracking_run="run",
    )


@pytest.fixture(scope="session")
def make_candidate() -> Callable[..., None]:
    return write_candidate


@pytest.fixture(scope="session")
def candidate(tmp_path_factory: pytest.TempPathFactory, small_problem: Problem) -> Path:
    folder = tmp_path_factory.mktemp("candidate") / "candidate"
    write_candidate(folder, small_problem)
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, small_problem: Problem, candidate: Path) -> Path:
    """A bundle; read only."""
    folder = tmp_path_factory.mktemp("built") / "bundle"
    build(candidate, folder, small_problem, origin())
    return folder


@pytest.fixture
def bundle(tmp_path: Path, built: Path) -> Path:
    """A bundle that the test may spoil."""
    return Path(shutil.copytree(built, tmp_path / "bundle"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "store").as_uri())


def publish_signed(store: Store, folder: Path) -> str:
    """Publish a bundle with the signature that a server asks for; its digest."""
    me = signer(store)
    sign(store, (folder / MANIFEST_FILE).read_bytes(), me, TrustedKeys.of(store))
    return publish(store, folder)


@pytest.fixture
def published(store: Store, built: Path) -> str:
    """The digest of the bundle in `store`."""
    return publish_signed(store, built)


@pytest.fixture
def publish_version(tmp_path: Path, store: Store, small_problem: Problem) -> Callable[[str], str]:
    """Publish another release of the problem and get its digest."""

    def make(version: str) -> str:
        write_candidate(tmp_path / f"candidate-{version}", small_problem, seed=int(version) + 10)
        manifest = build(
            tmp_path / f"candidate-{version}", tmp_path / f"bundle-{version}", small_problem, origin(version)
        )
        assert publish_signed(store, tmp_path / f"bundle-{version}") == digest_of(manifest)
        return digest_of(manifest)

    return make
