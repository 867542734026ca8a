"""Compiled models: the same scores as the model's own, or the model itself."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.bundle.manifest import ScorerEvidence
from ml.bundle.schema import BundleSchema
from ml.errors import ReleaseRefused
from ml.model.compiled import Axis, CompiledScorer, Tables
from ml.model.scorer import ExactScorer, load_exact_scorer, load_scorer
from ml.problem import Categorical, Numeric, Problem
from ml.release.compile import compile_scorer

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    import pandas as pd

THRESHOLD = 0.5


def rows_of(problem: Problem, count: int, seed: int = 1) -> "pd.DataFrame":
    """Valid random rows, a tenth of them missing where a feature is nullable."""
    import pandas as pd

    random = np.random.default_rng(seed)
    columns: dict[str, np.ndarray] = {}
    for f in problem.features:
        if isinstance(f, Categorical):
            column = random.choice(list(f.codes), count)
        else:
            column = random.integers(f.minimum, f.maximum, count, endpoint=True)
        columns[f.name] = np.where(random.random(count) < 0.1, np.nan, column) if f.nullable else column
    types = {f.name: "float64" if f.nullable else "int64" for f in problem.features}
    return pd.DataFrame(columns).astype(types)


def fitted(model: Any, problem: Problem, unseen: dict[str, int] | None = None) -> Any:
    """The model, fitted on 1,500 rows, none of which has the `unseen` codes."""
    rows = rows_of(problem, 2000)
    for name, code in (unseen or {}).items():
        rows = rows[rows[name] != code]
    rows = rows[:1500]
    total = (rows * np.random.default_rng(7).normal(1, 1, rows.shape[1]) / rows.max()).sum(axis=1)
    return model.fit(rows, (total > total.median()).astype(int))


def compiled(tmp_path: Path, problem: Problem, model: Any) -> tuple[ScorerEvidence, Path]:
    folder = tmp_path / "bundle"
    (folder / "model").mkdir(parents=True)
    flavour = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}
    (folder / "model" / "MLmodel").write_text(yaml.safe_dump({"flavors": {"sklearn": flavour}}))
    (folder / "model" / "model.pkl").write_bytes(pickle.dumps(model))
    return compile_scorer(folder, problem, THRESHOLD, rows_of(problem, 500, seed=2)), folder


def changed(problem: Problem, **features: dict[str, object]) -> Problem:
    """The problem with some features otherwise."""
    definition = problem.model_dump()
    for feature in definition["features"]:
        feature.update(features.get(feature["name"], {}))
    return Problem.model_validate(definition)


def boosting(problem: Problem) -> Any:
    from ml.training.features import boosting_pipeline

    pipeline = boosting_pipeline(problem, seed=1)
    pipeline.named_steps["model"].set_params(max_iter=12, early_stopping=False)
    return pipeline


def linear(problem: Problem) -> Any:
    from ml.training.features import linear_pipeline

    return linear_pipeline(problem, seed=1)


def forest(_problem: Problem) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=12, max_leaf_nodes=40, random_state=1)


def trees_of_two_sides(_problem: Problem) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(n_estimators=12, random_state=1)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(boosting, "trees"), (forest, "trees"), (trees_of_two_sides, "trees"), (linear, "additive")],
)
def test_a_compiled_model_scores_as_the_model_does_on_rows_it_was_not_compared_on(
    tmp_path: Path, small_problem: Problem, make: Callable[[Problem], Any], kind: str
) -> None:
    evidence, folder = compiled(tmp_path, small_problem, fitted(make(small_problem), small_problem))
    assert (evidence.kind, evidence.reason, evidence.rows, evidence.changed_decisions) == (kind, None, 500, 0)
    schema = BundleSchema.of(small_problem)
    scorer = load_scorer(folder, schema)
    assert isinstance(scorer, CompiledScorer)
    matrix = rows_of(small_problem, 3000, seed=3).to_numpy(np.int64)
    assert np.max(np.abs(scorer.score(matrix) - load_exact_scorer(folder, schema).score(matrix))) < 1e-12


@pytest.mark.parametrize("make", [boosting, linear])
def test_codes_that_no_training_row_had_are_answered_as_the_model_answers_them(
    tmp_path: Path, small_problem: Problem, make: Callable[[Problem], Any]
) -> None:
    unseen = {"MIG": 0, "RELP": 14, "SEX": 2}
    evidence, folder = compiled(tmp_path, small_problem, fitted(make(small_problem), small_problem, unseen))
    assert evidence.kind != "exact", evidence.reason
    rows = rows_of(small_problem, 300).assign(**unseen).to_numpy(np.int64)
    schema = BundleSchema.of(small_problem)
    assert np.allclose(load_scorer(folder, schema).score(rows), load_exact_scorer(folder, schema).score(rows), 0, 1e-12)


@pytest.mark.parametrize("make", [boosting, linear])
def test_missing_values_and_numbers_of_many_values(
    tmp_path: Path, small_problem: Problem, make: Callable[[Problem], Any]
) -> None:
    maximum = 1_000_000 if make is boosting else 99
    problem = changed(small_problem, AGEP={"nullable": True, "maximum": maximum}, SCHL={"nullable": True})
    evidence, folder = compiled(tmp_path, problem, fitted(make(problem), problem))
    assert evidence.kind != "exact", evidence.reason
    schema = BundleSchema.of(problem)
    matrix = rows_of(problem, 2000, seed=4).to_numpy(np.float64)
    scorer = load_scorer(folder, schema)
    assert np.isnan(matrix).any()
    assert np.max(np.abs(scorer.score(matrix) - load_exact_scorer(folder, schema).score(matrix))) < 1e-12
    if make is boosting:  # on the cut and beside it
        age = scorer._tables.axes[0]  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        beside = np.repeat(matrix[:1], 3 * len(age.edges), axis=0)
        beside[:, 0] = np.concatenate([age.edges + shift for shift in (-1, 0, 1)]).clip(0, maximum)
        assert np.allclose(scorer.score(beside), load_exact_scorer(folder, schema).score(beside), 0, 1e-12)
    demanded = matrix.copy()
    demanded[0, problem.feature_names.index("SEX")] = np.nan
    with pytest.raises(ValueError, match="missing"):
        scorer.score(demanded)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: __import__("sklearn.naive_bayes").naive_bayes.GaussianNB(), "treelite does not read a GaussianNB"),
        (lambda: __import__("sklearn.ensemble").ensemble.RandomForestClassifier(5), "leaves; at most 64 compile"),
    ],
)
def test_a_model_that_does_not_compile_is_served_as_it_is(
    tmp_path: Path, small_problem: Problem, make: Callable[[], Any], said: str
) -> None:
    evidence, folder = compiled(tmp_path, small_problem, fitted(make(), small_problem))
    assert evidence.kind == "exact"
    assert said in (evidence.reason or "")
    assert not (folder / "scorer.npz").exists()
    assert isinstance(load_scorer(folder, BundleSchema.of(small_problem)), ExactScorer)


def test_a_changed_decision_is_enough_to_refuse_the_tables(
    tmp_path: Path, small_problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fitted(linear(small_problem), small_problem)
    score = CompiledScorer.score
    monkeypatch.setattr(CompiledScorer, "score", lambda self, matrix: score(self, matrix) + 2e-6)
    evidence, folder = compiled(tmp_path, small_problem, model)
    assert evidence.kind == "exact"
    assert evidence.largest_difference == pytest.approx(2e-6, rel=1e-3)
    assert "differs from the model by up to 2e-06" in (evidence.reason or "")
    assert not (folder / "scorer.npz").exists()


@pytest.mark.parametrize("make", [boosting, linear])
def test_the_same_model_compiles_to_the_same_bytes(
    tmp_path: Path, small_problem: Problem, make: Callable[[Problem], Any]
) -> None:
    model = fitted(make(small_problem), small_problem)
    first, second = (compiled(tmp_path / name, small_problem, model)[1] for name in ("first", "second"))
    for name in ("scorer.npz", "scorer.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_tables_that_are_not_whole_are_refused_and_a_pickle_in_them_is_not_loaded(bundle: Path) -> None:
    schema = BundleSchema.parse((bundle / "schema.json").read_bytes())
    file = bundle / "scorer.npz"
    whole = file.read_bytes()
    for spoilt in (b"", whole[: len(whole) // 2], pickle.dumps({"kind": "trees"})):
        file.write_bytes(spoilt)
        with pytest.raises(ReleaseRefused, match=r"scorer\.npz is not one that this version reads"):
            load_scorer(bundle, schema)
    file.unlink()
    with pytest.raises(ReleaseRefused, match=r"scorer\.npz"):
        load_scorer(bundle, schema)
    (bundle / "scorer.json").write_text('{"kind": "quantum"}')
    with pytest.raises(ReleaseRefused, match=r"scorer\.json is not one that this version reads"):
        load_scorer(bundle, schema)


def test_a_bundle_from_before_models_were_compiled_still_loads(bundle: Path, small_problem: Problem) -> None:
    (bundle / "scorer.json").unlink()
    assert isinstance(load_scorer(bundle, BundleSchema.of(small_problem)), ExactScorer)


def test_any_other_mlflow_model_serves_over_its_pyfunc(bundle: Path, small_problem: Problem, tmp_path: Path) -> None:
    import mlflow.pyfunc

    class Halves(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> np.ndarray:
            return np.where(model_input["SEX"] == 1, 0.75, 0.25)

    shutil.rmtree(bundle / "model")
    mlflow.pyfunc.save_model(str(bundle / "model"), python_model=Halves(), pip_requirements=[])
    rows = rows_of(small_problem, 50)
    evidence = compile_scorer(bundle, small_problem, THRESHOLD, rows)
    assert evidence.kind == "exact"
    assert "not a scikit-learn model" in (evidence.reason or "")
    scores = load_scorer(bundle, BundleSchema.of(small_problem)).score(rows.to_numpy(np.int64))
    assert np.array_equal(scores, np.where(rows["SEX"] == 1, 0.75, 0.25))


def small_tables(seed: int) -> Tables:
    """Of an additive model, and of 30 trees with 8 leaves where `seed` is odd."""
    random = np.random.default_rng(seed)
    axes = (Axis(0, 5, 0, 4, nullable=False), Axis(5, 4, -1, 1, nullable=True))
    if seed % 2:
        reach = random.integers(0, 256, (9, 30), dtype=np.uint8) | np.uint8(4)
        return Tables("trees", axes, random.normal(size=240), reach, 0.1, "identity" if seed % 3 else "logistic")
    values = random.normal(size=9)
    return Tables("additive", axes, values, np.empty((0, 0), dtype=np.uint8), 0.1, "logistic")


@given(seed=st.integers(0, 9), rows=st.integers(1, 600), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_row_scores_the_same_to_the_bit_whatever_stands_beside_it(seed: int, rows: int, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    matrix = np.column_stack([random.integers(0, 5, rows), random.integers(-1, 2, rows)])
    scorer = CompiledScorer(small_tables(seed))
    row = data.draw(st.integers(0, rows - 1))
    assert scorer.score(matrix)[row] == scorer.score(matrix[row : row + 1])[0]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("row", [[5, 0], [-1, 0], [0, 2], [0, -2], [2**62, 0], [-(2**63), 0]])
def test_a_value_outside_the_schema_is_refused_rather_than_looked_up_elsewhere(seed: int, row: list[int]) -> None:
    for rows in ([row], [[1, 1], row]):
        with pytest.raises(ValueError, match="outside the bounds"):
            CompiledScorer(small_tables(seed)).score(np.array(rows))


def test_every_feature_of_the_schema_has_its_own_places(built: Path, small_problem: Problem) -> None:
    tables = Tables.load(built)
    ends = [axis.start + axis.size for axis in tables.axes]
    assert [axis.start for axis in tables.axes] == [0, *ends[:-1]]
    bounds = [(f.minimum, f.maximum) for f in small_problem.features if isinstance(f, Numeric)]
    assert [(a.minimum, a.maximum) for a in tables.axes[: len(bounds)]] == bounds
