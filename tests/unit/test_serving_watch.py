"""When a challenger is taken back: each limit at its edge, and never for what chance does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.problem import Canary, load_problem
from ml.serving.hosting.predict import is_for_challenger
from ml.serving.hosting.watch import Watch, stability_index

LIMITS = Canary.model_validate(
    {
        "minimum": 100,
        "window": 1000,
        "maximum_error_rate": 0.02,
        "latency": {"quantile": 0.9, "maximum_ms": 20.0, "maximum_ratio": 2.0},
        "maximum_score_psi": 0.25,
    }
)


def fed(champion: np.ndarray, challenger: np.ndarray, champion_s: float = 0.01, challenger_s: float = 0.01) -> Watch:
    watch = Watch(LIMITS)
    for score in champion:
        watch.answered("champion", np.array([score]), champion_s)
    for score in challenger:
        watch.answered("challenger", np.array([score]), challenger_s)
    return watch


def scores(count: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).beta(2, 2, count) + shift, 0, 1)


@given(seed=st.integers(0, 1000))
def test_two_samples_of_the_same_scores_are_no_breach(seed: int) -> None:
    limits = load_problem().canary
    first, second = scores(limits.minimum, seed), scores(limits.minimum, seed + 5000)
    assert stability_index(first, second) < limits.maximum_score_psi


def test_a_sample_has_no_distance_to_itself_even_when_it_is_one_value() -> None:
    assert stability_index(scores(500), scores(500)) == 0
    assert stability_index(np.full(500, 0.5), np.full(500, 0.5)) == 0
    assert stability_index(np.full(500, 0.5), np.full(500, 0.9)) > 1
    assert stability_index(np.full(500, 0.5), np.full(500, 0.1)) > 1


@given(low=st.floats(0, 0.4), high=st.floats(0.6, 1), moved=st.floats(0, 1))
def test_scores_of_two_values_share_no_bin_with_others(low: float, high: float, moved: float) -> None:
    expected = np.repeat([low, high], 250)
    found = np.repeat([low, moved], 250)
    assert (stability_index(expected, found) > 1) == (moved not in (low, high) or moved == low)


def test_the_stability_index_is_the_textbooks() -> None:
    """Ten bins of 10 % against one that holds all: 0.9 ln 10 + 9 x 0.1 ln (0.1 / 0.0001), with empty bins at 0.0001."""
    expected = np.arange(1000) / 1000
    index = stability_index(expected, np.full(1000, 0.999))
    assert index == pytest.approx(0.9 * np.log(10) + 9 * (0.1 - 1e-4) * np.log(0.1 / 1e-4), rel=1e-3)


@given(st.sampled_from([0, 1, 2, 30, 99, 100, 200]), st.sampled_from([0, 1, 2, 30, 99, 100, 200]))
def test_too_few_answers_of_either_are_not_judged(champion: int, challenger: int) -> None:
    watch = fed(scores(champion), scores(challenger, 1))
    assert watch.is_judged == (min(champion, challenger) >= LIMITS.minimum)
    assert watch.breach is None


def test_moved_scores_are_a_breach_once_there_are_enough() -> None:
    assert fed(scores(200), scores(99, 1, shift=0.3)).breach is None
    breach = fed(scores(200), scores(100, 1, shift=0.3)).breach
    assert breach is not None
    assert breach.cause == "scores"
    assert fed(scores(99), scores(500, 1, shift=0.3)).breach is None


def test_too_slow_is_slower_than_the_limit_and_than_the_champion() -> None:
    same = scores(200)
    assert fed(same, same, 0.001, 0.019).breach is None
    assert fed(same, same, 0.015, 0.029).breach is None
    breach = fed(same, same, 0.010, 0.021).breach
    assert breach is not None
    assert breach.cause == "latency"
    assert "21.0 ms" in breach.reason


def test_errors_are_a_breach_at_once_but_one_is_not() -> None:
    watch = Watch(LIMITS)
    for _ in range(2):
        watch.failed()
        assert watch.breach is None
    watch.failed()
    assert watch.breach is not None
    assert watch.breach.cause == "errors"
    good = fed(scores(500), scores(500))
    for _ in range(10):
        good.failed()
    assert good.breach is None
    good.failed()
    assert good.breach is not None


def test_old_answers_are_forgotten() -> None:
    watch = fed(scores(1000), scores(100))
    for _ in range(2):
        watch.failed()
    for score in scores(1000):
        watch.answered("challenger", np.array([score]), 0.01)
    for _ in range(2):
        watch.failed()
    assert watch.breach is None


@given(weight=st.floats(0.01, 1), seed=st.integers(0, 100))
def test_the_share_of_requests_is_the_weight_and_the_same_id_falls_the_same_way(weight: float, seed: int) -> None:
    drawn = [is_for_challenger(f"{seed}-{number}", weight) for number in range(1000)]
    assert drawn == [is_for_challenger(f"{seed}-{number}", weight) for number in range(1000)]
    assert abs(np.mean(drawn) - weight) < 5 * (weight * (1 - weight) / 1000) ** 0.5 + 1e-9


@given(name=st.text(max_size=50), small=st.floats(0.001, 1), more=st.floats(0, 1))
def test_who_is_asked_at_a_small_weight_is_asked_at_a_larger_one(name: str, small: float, more: float) -> None:
    assert not is_for_challenger(name, small) or is_for_challenger(name, min(1.0, small + more))
