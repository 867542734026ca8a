import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ml.problem import load_problem
from ml.training.metrics import METRICS, ScoredRows, difference_intervals

COSTS = load_problem().costs


@st.composite
def scored_rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with both classes, scores with ties, and whole-numbered weights with both classes present."""
    size = draw(st.integers(4, 60))
    scores = np.array(draw(st.lists(st.integers(0, 20), min_size=size, max_size=size))) / 20
    positive = np.array([1, 0, *draw(st.lists(st.integers(0, 1), min_size=size - 2, max_size=size - 2))], dtype=np.int8)
    weights = np.array([1, 1, *draw(st.lists(st.integers(0, 3), min_size=size - 2, max_size=size - 2))], dtype=float)
    return positive, scores, weights


@given(scored_rows())
def test_values_are_those_of_scikit_learn(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    positive, scores, weights = rows
    values = ScoredRows(positive, scores, 0.6, COSTS).values(weights)
    assert values["roc_auc"] == pytest.approx(roc_auc_score(positive, scores, sample_weight=weights))
    assert values["pr_auc"] == pytest.approx(average_precision_score(positive, scores, sample_weight=weights))
    assert values["brier"] == pytest.approx(brier_score_loss(positive, scores, sample_weight=weights))


@given(scored_rows())
def test_a_weight_counts_as_that_many_rows(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    positive, scores, weights = rows
    weighted = ScoredRows(positive, scores, 0.6, COSTS).values(weights)
    repeats = weights.astype(int)
    repeated = ScoredRows(np.repeat(positive, repeats), np.repeat(scores, repeats), 0.6, COSTS).values()
    for name in set(METRICS) - {"calibration_error"}:  # its bins are those of the unweighted rows
        assert weighted[name] == pytest.approx(repeated[name]), name


def test_expected_cost_and_accuracy_by_hand() -> None:
    positive, scores = np.array([1, 1, 0, 0, 1], dtype=np.int8), np.array([0.9, 0.55, 0.7, 0.1, 0.2])
    values = ScoredRows(positive, scores, 0.6, COSTS).values()
    # held positive: rows 0 and 2, so one false positive and two false negatives
    assert values["expected_cost"] == pytest.approx((COSTS.false_positive.cost + 2 * COSTS.false_negative.cost) / 5)
    assert values["accuracy"] == pytest.approx(2 / 5)
    assert values["accuracy_at_half"] == pytest.approx(3 / 5)


def test_a_score_of_a_half_is_a_positive_at_half() -> None:
    positive, scores = np.array([1, 0], dtype=np.int8), np.array([0.5, 0.4])
    assert ScoredRows(positive, scores, 0.6, COSTS).values()["accuracy_at_half"] == 1.0


@pytest.mark.parametrize("score", [np.nan, np.inf, -0.1, 1.1])
def test_a_score_that_is_no_probability_defines_no_metric(score: float) -> None:
    """As a decision it would count as negative, and a model of such scores would look cheap."""
    positive, scores = np.zeros(40, dtype=np.int8), np.full(40, 0.1)
    wrong, right = (
        ScoredRows(positive, np.append(scores[1:], score), 0.6, COSTS),
        ScoredRows(positive, scores, 0.6, COSTS),
    )
    assert all(map(np.isnan, wrong.values().values()))
    intervals = difference_intervals(wrong, right, samples=100, confidence=0.9, seed=1)
    assert all(np.isnan(bound) for interval in intervals.values() for bound in interval)


def test_calibration_error_is_the_gap_between_score_and_share() -> None:
    positive = np.array([0] * 30 + [1] * 10 + [1] * 40 + [0] * 20, dtype=np.int8)
    scores = np.array([0.25] * 40 + [0.9] * 60)
    # two bins by ties: 0.25 against 10/40, and 0.9 against 40/60
    assert ScoredRows(positive, scores, 0.5, COSTS).values()["calibration_error"] == pytest.approx(
        0.6 * (0.9 - 40 / 60)
    )


def test_intervals_are_seeded_and_hold_the_difference() -> None:
    random = np.random.default_rng(7)
    positive = (random.random(2000) < 0.5).astype(np.int8)
    good = ScoredRows(positive, np.clip(positive * 0.3 + random.random(2000) * 0.7, 0, 1), 0.5, COSTS)
    poor = ScoredRows(positive, random.random(2000), 0.5, COSTS)
    intervals = difference_intervals(good, poor, samples=100, confidence=0.95, seed=3)
    assert intervals == difference_intervals(good, poor, samples=100, confidence=0.95, seed=3)
    low, high = intervals["roc_auc"]
    assert 0 < low < good.values()["roc_auc"] - poor.values()["roc_auc"] < high
    assert difference_intervals(good, good, samples=100, confidence=0.95, seed=3)["roc_auc"] == (0.0, 0.0)


@pytest.mark.parametrize(("confidence", "errors"), [(0.8, 1.28), (0.95, 1.96)])
def test_intervals_are_as_wide_as_their_confidence_asks(confidence: float, errors: float) -> None:
    """The Brier score is a mean, whose interval the central limit theorem gives."""
    random = np.random.default_rng(7)
    positive, ours, theirs = (random.random(400) < 0.5).astype(np.int8), random.random(400), random.random(400)
    model, baseline = (ScoredRows(positive, scores, 0.5, COSTS) for scores in (ours, theirs))
    low, high = difference_intervals(model, baseline, samples=1000, confidence=confidence, seed=3)["brier"]
    standard_error = ((ours - positive) ** 2 - (theirs - positive) ** 2).std() / np.sqrt(400)
    assert (high - low) / 2 == pytest.approx(errors * standard_error, rel=0.1)
