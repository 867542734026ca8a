import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, roc_auc_score

from ml.errors import InputRefused
from ml.monitoring.estimate import PerformanceMetric, estimate_performance, realised_performance
from ml.problem import load_problem

pytestmark = pytest.mark.slow

COSTS = load_problem().costs
THRESHOLD = load_problem().cost_threshold


def estimated(scores, **options) -> dict[str, PerformanceMetric]:
    return {m.name: m for m in estimate_performance(scores, decision_threshold=THRESHOLD, costs=COSTS, **options)}


def realised(scores, labels, **options) -> dict[str, PerformanceMetric]:
    metrics = realised_performance(scores, labels, decision_threshold=THRESHOLD, costs=COSTS, **options)
    return {m.name: m for m in metrics}


def draw(seed: int, rows: int, a: float = 1.0, b: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels for which the scores are exactly the probabilities."""
    r = np.random.default_rng(seed)
    scores = r.beta(a, b, rows)
    return scores, (r.uniform(size=rows) < scores).astype(int)


@given(st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=2, max_size=80))
def test_realised_metrics_are_sklearns(rows):
    scores = np.array([s / 10 for s, _ in rows])  # with ties
    labels = np.array([int(y) for _, y in rows])
    got = realised(scores, labels)
    decided = scores >= THRESHOLD
    assert got["accuracy"].value == pytest.approx(accuracy_score(labels, decided))
    fp, fn = (decided & (labels == 0)).mean(), (~decided & (labels == 1)).mean()
    want = fp * COSTS.false_positive.cost + fn * COSTS.false_negative.cost
    assert got["expected_cost"].value == pytest.approx(want)
    if 0 < labels.sum() < len(labels):
        assert got["roc_auc"].value == pytest.approx(roc_auc_score(labels, scores))
    else:
        assert got["roc_auc"].value is None


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=60))
def test_the_estimate_is_the_metric_of_rows_that_are_positive_in_part(scores):
    s = np.array(scores)
    want = roc_auc_score(np.repeat([1, 0], len(s)), np.concatenate([s, s]), sample_weight=np.concatenate([s, 1 - s]))
    got = estimated(s)
    assert got["roc_auc"].value == pytest.approx(want)
    assert got["accuracy"].value == pytest.approx(np.where(s >= THRESHOLD, s, 1 - s).mean())


@pytest.mark.parametrize(("a", "b"), [(1, 1), (0.5, 2), (6, 2)])
def test_the_estimate_comes_out_when_the_labels_come(a, b):
    scores, labels = draw(11, 200_000, a, b)
    before, after = estimated(scores), realised(scores, labels)
    for name, metric in before.items():
        assert metric.value == pytest.approx(after[name].value, abs=0.005)


def test_the_estimate_follows_a_harder_population_before_any_label():
    easy, hard = estimated(draw(1, 20_000, 0.3, 0.3)[0]), estimated(draw(1, 20_000, 5, 5)[0])
    assert hard["roc_auc"].high < easy["roc_auc"].low
    assert hard["accuracy"].high < easy["accuracy"].low
    assert hard["expected_cost"].low > easy["expected_cost"].high


@pytest.mark.parametrize("kind", ["estimated", "realised"])
def test_intervals_of_95_percent_hold_the_truth_about_that_often(kind):
    truth = {name: m.value for name, m in estimated(draw(99, 2_000_000, 2, 3)[0]).items()}
    runs, held = 300, dict.fromkeys(truth, 0)
    for seed in range(runs):
        scores, labels = draw(seed, 500, 2, 3)
        metrics = estimated(scores) if kind == "estimated" else realised(scores, labels)
        for name, m in metrics.items():
            held[name] += m.low <= truth[name] <= m.high
    for name, count in held.items():
        assert count / runs >= 0.92, name


def test_the_estimates_interval_holds_what_is_then_measured():
    held = 0
    for seed in range(200):
        scores, labels = draw(seed, 400, 2, 2)
        before, after = estimated(scores)["roc_auc"], realised(scores, labels)["roc_auc"]
        held += before.low <= after.value <= before.high
    assert held >= 184


def test_the_interval_of_the_cost_is_that_of_a_mean():
    scores, labels = draw(5, 4000, 3, 2)
    decided = scores >= THRESHOLD
    cost = np.where(decided, (1 - labels) * COSTS.false_positive.cost, labels * COSTS.false_negative.cost)
    metric = realised(scores, labels)["expected_cost"]
    assert metric.high - metric.low == pytest.approx(2 * 1.959964 * cost.std() / np.sqrt(len(cost)))


def test_a_score_at_the_threshold_is_held_to_be_positive():
    assert realised([THRESHOLD], [1])["accuracy"].value == 1
    assert realised([np.nextafter(THRESHOLD, 0)], [1])["accuracy"].value == 0


def test_a_wider_confidence_gives_a_wider_interval():
    scores, _ = draw(3, 1000)
    narrow, wide = estimated(scores, confidence=0.5)["roc_auc"], estimated(scores, confidence=0.99)["roc_auc"]
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_few_rows_give_a_value_without_an_interval_and_none_give_nothing():
    few = estimated([0.9, 0.2, 0.6])
    assert few["accuracy"].value is not None
    assert few["accuracy"].low is few["roc_auc"].high is None
    assert [(m.value, m.low, m.rows) for m in estimated([]).values()] == [(None, None, 0)] * 3
    assert realised([0.4] * 50, [1] * 50)["roc_auc"].value is None


@pytest.mark.parametrize("bad", [[0.5, float("nan")], [1.2], [-0.1], [[0.5]], [None]])
def test_scores_that_are_no_probabilities_are_refused(bad):
    with pytest.raises(InputRefused, match="scores"):
        estimated(bad)


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(InputRefused, match="2 scores and 1 labels"):
        realised([0.5, 0.6], [1])
    with pytest.raises(InputRefused, match="1 of 2 labels"):
        realised([0.5, 0.6], [0.5, 1])


@pytest.mark.parametrize("wrong", ["low", "high", "timid", "bold"])
def test_the_interval_covers_what_calibration_may_be_wrong_by(wrong: str) -> None:
    """So many rows that chance is nothing: the measured value is outside of chance's interval, and inside this one."""
    random = np.random.default_rng(7)
    scores = random.beta(2, 2, 400_000)
    error, away = 0.02, scores - scores.mean()
    by = {"low": error, "high": -error, "timid": away * 0.1, "bold": -away * 0.1}[wrong]
    labels = random.random(len(scores)) < np.clip(scores + by, 0, 1)
    real = realised(scores, labels.astype(int))
    chance, covered = estimated(scores), estimated(scores, calibration_error=error)
    assert not all(holds(chance[name], fact) for name, fact in real.items())
    assert all(holds(covered[name], fact) for name, fact in real.items())


def holds(guess: PerformanceMetric, fact: PerformanceMetric) -> bool:
    assert guess.low is not None
    assert guess.high is not None
    assert fact.value is not None
    return guess.low <= fact.value <= guess.high
