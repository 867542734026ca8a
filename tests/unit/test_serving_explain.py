"""Reasons add up to the score, are the same for the same row, and agree with what is known exactly."""

import json
from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shap
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.bundle.schema import BundleSchema
from ml.errors import ReleaseRefused
from ml.model.explain import EXPLANATION_FILE, Explainer, Explanation
from ml.model.model import MAXIMUM_EXPLAINED_ROWS
from ml.problem import Problem
from ml.release.explanation import write_explanation
from ml.serving.app import ModelServer
from ml.store import Store
from tests.unit.test_serving_app import JSON, ask, play, serving, settings_of

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(7)
BACKGROUND = RANDOM.integers(0, 5, (12, 4))
WEIGHTS = np.array([0.4, -0.3, 0.2, 0.0])


class Interacting:
    """Not linear: the first two features act together, the last does nothing."""

    def score(self, matrix: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(matrix @ WEIGHTS + 0.2 * matrix[:, 0] * matrix[:, 1] - 1)))


class Additive:
    def score(self, matrix: np.ndarray) -> np.ndarray:
        return 0.5 + matrix @ WEIGHTS / 20


def shapley(scorer: Any, row: np.ndarray) -> np.ndarray:
    """The definition: every coalition of features, the others as in the background (Shapley, 1953)."""
    count = len(row)

    def value(coalition: tuple[int, ...]) -> float:
        rows = BACKGROUND.copy()
        rows[:, list(coalition)] = row[list(coalition)]
        return float(scorer.score(rows).mean())

    found = np.zeros(count)
    for feature in range(count):
        others = [f for f in range(count) if f != feature]
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for coalition in combinations(others, size):
                found[feature] += weight * (value((*coalition, feature)) - value(coalition))
    return found


@given(row=st.lists(st.integers(0, 9), min_size=4, max_size=4), permutations=st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_contributions_add_up_to_the_score(row: list[int], permutations: int) -> None:
    matrix = np.array([row])
    base, contributions = Explainer(Interacting(), BACKGROUND, permutations, 1).contributions(matrix)
    assert base == pytest.approx(Interacting().score(BACKGROUND).mean(), abs=1e-12)
    assert base + contributions.sum() == pytest.approx(Interacting().score(matrix)[0], abs=1e-12)
    assert contributions[0, 3] == 0


def test_many_orders_come_to_the_shapley_values_and_an_additive_model_needs_one() -> None:
    row = np.array([9, 0, 4, 2])
    _, many = Explainer(Interacting(), BACKGROUND, 200, 1).contributions(row[None, :])
    assert np.abs(many[0] - shapley(Interacting(), row)).max() < 0.005
    _, one = Explainer(Additive(), BACKGROUND, 1, 1).contributions(row[None, :])
    assert one[0] == pytest.approx(shapley(Additive(), row), abs=1e-12)


@given(row=st.lists(st.integers(0, 5), min_size=4, max_size=4), permutations=st.integers(1, 3), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=10)
def test_contributions_are_those_of_shap(row: list[int], permutations: int, seed: int) -> None:
    matrix = np.array([row])
    masker = shap.maskers.Independent(BACKGROUND, max_samples=len(BACKGROUND))
    explain = shap.PermutationExplainer(Interacting().score, masker, seed=seed)
    np.random.seed(seed)  # it draws its orders from numpy's global generator
    theirs = explain(matrix, max_evals=permutations * (2 * len(row) + 1), silent=True)
    base, ours = Explainer(Interacting(), BACKGROUND, permutations, seed).contributions(matrix)
    assert base == pytest.approx(theirs.base_values[0], abs=1e-12)
    assert ours[0] == pytest.approx(theirs.values[0], abs=1e-12)


def test_what_is_missing_in_the_row_and_in_all_of_the_background_changes_nothing() -> None:
    class CountsMissing:
        def score(self, matrix: np.ndarray) -> np.ndarray:
            return np.isnan(matrix).mean(axis=1)

    missing = np.nan
    background = np.array([[missing, 1.0, missing], [missing, 2.0, 3.0]])
    base, found = Explainer(CountsMissing(), background, 2, 1).contributions(np.array([[missing, missing, 3.0]]))
    assert base == pytest.approx(0.5)
    assert found[0].tolist() == pytest.approx([0, 1 / 3, -1 / 6])


def test_a_row_has_the_same_reasons_alone_and_among_others() -> None:
    explainer = Explainer(Interacting(), BACKGROUND, 2, 1)
    matrix = RANDOM.integers(0, 9, (5, 4))
    _, together = explainer.contributions(matrix)
    for row, contributions in zip(matrix, together, strict=True):
        assert explainer.contributions(row[None, :])[1][0].tolist() == contributions.tolist()


def test_a_bundle_holds_what_explains_it(built: Path, small_problem: Problem) -> None:
    explanation = Explanation.parse((built / EXPLANATION_FILE).read_bytes())
    assert explanation.largest_error <= 1e-6
    assert [i.feature for i in explanation.importance] != small_problem.feature_names
    assert {i.feature for i in explanation.importance} == set(small_problem.feature_names)
    importances = [i.mean_absolute_contribution for i in explanation.importance]
    assert importances == sorted(importances, reverse=True)
    assert len(explanation.background[0]) == len(small_problem.feature_names)


def test_a_model_whose_reasons_do_not_add_up_is_not_released(
    bundle: Path, small_problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wavering:
        def score(self, matrix: np.ndarray) -> np.ndarray:
            return RANDOM.random(len(matrix))

    monkeypatch.setattr("ml.release.explanation.load_scorer", lambda *_: Wavering())
    with pytest.raises(ReleaseRefused, match="don't add up"):
        write_explanation(bundle, small_problem)


@pytest.fixture
def example(small_problem: Problem) -> dict[str, int]:
    return BundleSchema.of(small_problem).example


def test_explain_gives_reasons_that_add_up_and_logs_them(
    tmp_path: Path, store: Store, published: str, example: dict[str, int], small_problem: Problem
) -> None:
    async def scenario() -> None:
        async with serving(settings_of(tmp_path, store), published) as app:
            other = example | {small_problem.features[0].name: 60}
            body = json.dumps([example, other]).encode()
            answer = (await explained(app, body)).json
            for row, prediction in zip((example, other), answer["predictions"], strict=True):
                reasons = prediction["reasons"]
                total = answer["base_score"] + sum(reason["contribution"] for reason in reasons)
                assert total == pytest.approx(prediction["score"], abs=1e-6)
                assert {reason["feature"]: reason["value"] for reason in reasons} == row
                strengths = [abs(reason["contribution"]) for reason in reasons]
                assert strengths == sorted(strengths, reverse=True)
            assert any("meaning" in reason for reason in answer["predictions"][0]["reasons"])
            (logged,) = app._log._queue
            assert logged.reasons is not None
            kept = json.loads(logged.reasons[1])
            assert kept == [{k: r[k] for k in ("feature", "contribution")} for r in answer["predictions"][1]["reasons"]]
            metrics = (await ask(app, "GET", "/metrics")).body.decode()
            assert 'mlops_request_duration_seconds_count{route="/predict?explain=true"} 1.0' in metrics

    play(scenario())


def test_reasons_are_given_only_to_those_who_ask(
    tmp_path: Path, store: Store, published: str, example: dict[str, int]
) -> None:
    async def scenario() -> None:
        async with serving(settings_of(tmp_path, store), published) as app:
            body = json.dumps(example).encode()
            for query in (b"", b"explain=false", b"other=1"):
                answer = (await explained(app, body, query)).json
                assert "base_score" not in answer
                assert "reasons" not in answer["predictions"][0]
            assert app.host.current is not None
            assert app.host.current._explainer is None
            for query in (b"explain=yes", b"explain=", b"explain=true&explain=true", b"explain=\xff"):
                assert (await explained(app, body, query)).status == 422
            too_many = json.dumps([example] * (MAXIMUM_EXPLAINED_ROWS + 1)).encode()
            assert (await explained(app, too_many)).status == 422

    play(scenario())


def test_a_release_from_before_there_were_explanations_still_serves(
    tmp_path: Path, store: Store, published: str, example: dict[str, int]
) -> None:
    async def scenario() -> None:
        async with serving(settings_of(tmp_path, store), published) as app:
            assert app.host.current is not None
            app.host.current._explanation = None
            refused = await explained(app, json.dumps(example).encode())
            assert refused.status == 501
            assert "Release the model again" in refused.json["error"]

    play(scenario())


async def explained(app: ModelServer, body: bytes, query: bytes = b"explain=true") -> Any:
    return await ask(app, "POST", "/predict", body, JSON, query=query)
