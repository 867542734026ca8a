import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.problem import load_problem
from ml.training.threshold import choose_threshold, cost_curve

PROBLEM = load_problem()
FALSE_POSITIVE, FALSE_NEGATIVE = PROBLEM.costs.false_positive.cost, PROBLEM.costs.false_negative.cost


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=1, max_size=40))
def test_curve_is_the_cost_of_deciding_by_each_threshold(rows: list[tuple[int, int]]) -> None:
    positive, scores = np.array([r[0] for r in rows], dtype=np.int8), np.array([r[1] / 10 for r in rows])
    thresholds, costs = cost_curve(PROBLEM, positive, scores)
    for threshold, cost in zip(thresholds, costs, strict=True):
        held = scores >= threshold
        wrong = FALSE_POSITIVE * (held & (positive == 0)).sum() + FALSE_NEGATIVE * (~held & (positive == 1)).sum()
        assert cost == pytest.approx(wrong / len(rows))
    assert (scores >= thresholds[0]).all()
    assert not (scores >= thresholds[-1]).any()


def test_calibrated_scores_keep_the_theoretical_threshold() -> None:
    random = np.random.default_rng(1)
    scores = random.random(20_000)
    positive = (random.random(20_000) < scores).astype(np.int8)
    threshold = choose_threshold(PROBLEM, positive, scores)
    assert threshold.chosen == PROBLEM.cost_threshold
    assert threshold.is_theoretical
    assert threshold.empirical == pytest.approx(PROBLEM.cost_threshold, abs=0.1)
    assert threshold.empirical_cost <= threshold.theoretical_cost


def test_uncalibrated_scores_take_the_cheapest_threshold() -> None:
    random = np.random.default_rng(1)
    chance = random.random(20_000)
    positive = (random.random(20_000) < chance).astype(np.int8)
    threshold = choose_threshold(PROBLEM, positive, chance / 2)
    assert threshold.chosen == threshold.empirical == pytest.approx(PROBLEM.cost_threshold / 2, abs=0.05)
    assert threshold.empirical_cost < threshold.theoretical_cost


def test_a_score_at_the_threshold_is_held_to_be_positive() -> None:
    scores, positive = np.array([PROBLEM.cost_threshold, 0.0]), np.array([0, 1], dtype=np.int8)
    found = choose_threshold(PROBLEM, positive, scores)
    assert found.theoretical_cost == pytest.approx((FALSE_POSITIVE + FALSE_NEGATIVE) / 2)
