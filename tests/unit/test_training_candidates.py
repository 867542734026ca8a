import cloudpickle
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from ml.data.clean import meets
from ml.problem import Categorical, Problem, load_problem
from ml.training.candidates import BASELINE, Candidate, RuleClassifier, best_learner, fit_candidates, scores_of
from ml.training.features import boosting_pipeline, inputs, linear_pipeline, positives


def rows(count: int, seed: int) -> pd.DataFrame:
    """Valid rows whose target follows the baseline rule's columns with noise."""
    problem, random = load_problem(), np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            f.name: random.choice(list(f.codes), count)
            if isinstance(f, Categorical)
            else random.integers(f.minimum, f.maximum, count, endpoint=True)
            for f in problem.features
        }
    )
    chance = 0.2 + 0.5 * meets(frame, problem.baseline.when) + 0.2 * (frame["SCHL"] > 16)
    return frame.assign(**{problem.target.column: (random.random(count) < chance).astype(int)})


def fitted(problem: Problem) -> tuple[Candidate, ...]:
    return fit_candidates(problem, rows(3000, 1), rows(1000, 2), lambda _: None)


@pytest.fixture(scope="module")
def candidates() -> tuple[Candidate, ...]:
    return fitted(load_problem())


def test_learners_beat_the_rule_and_the_cheaper_one_is_chosen(candidates: tuple[Candidate, ...]) -> None:
    cost = {c.name: c.validation["expected_cost"] for c in candidates}
    assert set(cost) == {BASELINE, "linear", "boosting"}
    chosen = best_learner(candidates)
    assert cost[chosen.name] == min(cost["linear"], cost["boosting"])
    assert max(c.validation["roc_auc"] for c in candidates if c.name != BASELINE) > candidates[0].validation["roc_auc"]


def test_the_rule_is_never_chosen(candidates: tuple[Candidate, ...]) -> None:
    rule, learner = candidates[:2]
    hopeless = Candidate(**{**vars(learner), "validation": {"expected_cost": 99.0}})
    assert best_learner((rule, hopeless)).name == "linear"


def test_the_best_of_the_trials_is_kept(candidates: tuple[Candidate, ...]) -> None:
    for candidate in candidates[1:]:
        best = min(candidate.trials, key=lambda trial: trial.log_loss)
        assert best.parameters.items() <= candidate.parameters.items()
        assert len(candidate.trials) > 1


def test_losses_are_kept_for_the_iterative_learner(candidates: tuple[Candidate, ...]) -> None:
    boosting = candidates[2]
    iterations = boosting.parameters["max_iter"]
    assert {split: len(values) for split, values in boosting.losses.items()} == {
        "train": iterations + 1,
        "validation": iterations + 1,
    }
    assert boosting.losses["train"][-1] < boosting.losses["train"][0]
    assert not candidates[1].losses


def test_the_same_rows_give_the_same_candidates(candidates: tuple[Candidate, ...]) -> None:
    for one, other in zip(candidates, fitted(load_problem()), strict=True):
        assert one.parameters == other.parameters
        assert one.validation == other.validation
        assert one.threshold == other.threshold
        if one.name == "boosting":  # the order of BLAS sums may differ in the last bit between runs
            assert cloudpickle.dumps(one.model) == cloudpickle.dumps(other.model)


@pytest.mark.parametrize("make", [linear_pipeline, boosting_pipeline])
def test_undeclared_codes_and_any_order_of_columns_are_scored(make: type) -> None:
    problem, train = load_problem(), rows(1500, 1)
    pipeline = make(problem, seed=1).fit(inputs(problem, train), positives(problem, train))
    strange = inputs(problem, rows(5, 3))
    expected = scores_of(pipeline, strange)
    np.testing.assert_array_equal(scores_of(pipeline, strange[sorted(strange.columns)]), expected)
    for feature in problem.features:
        if isinstance(feature, Categorical):
            scores = scores_of(pipeline, strange.assign(**{feature.name: 127}))
            assert ((scores > 0) & (scores < 1)).all(), feature.name


@pytest.mark.parametrize("make", [linear_pipeline, boosting_pipeline])
def test_a_nullable_feature_may_be_null(make: type) -> None:
    problem = load_problem()
    features = tuple(f.model_copy(update={"nullable": f.name in ("SCHL", "MAR")}) for f in problem.features)
    problem = problem.model_copy(update={"features": features})
    train = rows(1500, 1).astype({"SCHL": float, "MAR": float})
    train.loc[::7, ["SCHL", "MAR"]] = np.nan
    frame = inputs(problem, train)
    assert frame.dtypes["SCHL"] == "float64"
    assert frame.dtypes["AGEP"] == "int64"
    pipeline = make(problem, seed=1).fit(frame, positives(problem, train))
    assert np.isfinite(scores_of(pipeline, frame)).all()


def test_the_rule_scores_what_the_problem_says_and_can_be_cloned() -> None:
    problem, frame = load_problem(), rows(200, 4)
    rule = clone(RuleClassifier(problem.baseline)).fit(inputs(problem, frame))
    expected = np.where(meets(frame, problem.baseline.when), problem.baseline.then, problem.baseline.otherwise)
    np.testing.assert_array_equal(scores_of(rule, inputs(problem, frame)), expected)
    np.testing.assert_array_equal(rule.predict(inputs(problem, frame)), expected >= 0.5)
