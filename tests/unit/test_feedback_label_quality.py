"""Labels that say nothing of what the scores do are not learned from; the others are, whatever they came with."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.feedback.label_quality import believed
from ml.problem import Problem

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def delivery(
    rows: int,
    *,
    at_random: float = 0.0,
    source: str = "file",
    minutes: int = 0,
    seed: int = 1,
    label: int | None = None,
) -> pl.DataFrame:
    """Labels that fit their scores, but for a share that is at random, or all of them `label`."""
    random = np.random.default_rng(seed)
    scores = random.beta(2, 2, rows)
    labels = np.where(random.random(rows) < at_random, random.random(rows) < 0.5, random.random(rows) < scores)
    return pl.DataFrame(
        {
            "score": scores,
            "label": labels.astype(np.int32) if label is None else np.full(rows, label, np.int32),
            "label_source": source,
            "label_arrived_at": NOW + timedelta(minutes=minutes),
        }
    )


def test_labels_at_random_are_left_out_and_those_beside_them_are_not(small_problem: Problem) -> None:
    good, bad = delivery(5000), delivery(6000, at_random=1.0, minutes=1)
    found = believed(small_problem, pl.concat([good, bad]).sample(fraction=1, shuffle=True, seed=3))
    assert len(found.labelled) == 5000
    assert set(found.labelled["label_arrived_at"]) == {NOW}
    (doubt,) = found.doubts
    assert doubt.startswith("6,000 labels that came by file, 2026-03-10 12:01 UTC contradict the champion's scores")


@pytest.mark.parametrize("label", [0, 1])
def test_labels_that_are_all_alike_say_nothing_either(small_problem: Problem, label: int) -> None:
    assert believed(small_problem, delivery(1000, label=label)).labelled.is_empty()


def test_labels_the_wrong_way_round_are_left_out(small_problem: Problem) -> None:
    found = believed(small_problem, delivery(1000).with_columns((1 - pl.col("label")).alias("label")))
    assert found.labelled.is_empty()
    assert len(found.doubts) == 1


@pytest.mark.parametrize("spread", [0.0, 1e-12, 1e-3, 0.01])
@pytest.mark.parametrize("label", [None, 0, 1])
def test_labels_of_scores_that_are_alike_are_not_judged_and_left_out(
    small_problem: Problem, spread: float, label: int | None
) -> None:
    """Whoever chooses the cases could choose them so; at random would look the same."""
    rows = delivery(1000, at_random=1.0, label=label).with_columns((0.4 + spread * pl.col("score")).alias("score"))
    found = believed(small_problem, rows)
    assert found.labelled.is_empty()
    assert len(found.doubts) == 1
    if label is None:
        assert "can't be judged: their scores are so much alike" in found.doubts[0]


def test_many_small_deliveries_are_judged_together(small_problem: Problem) -> None:
    parts = [delivery(100, at_random=1.0, minutes=number, seed=number) for number in range(40)]
    found = believed(small_problem, pl.concat(parts))
    assert found.labelled.is_empty()
    assert "in small deliveries" in found.doubts[0]


def test_what_experts_say_of_doubtful_cases_is_theirs(small_problem: Problem) -> None:
    rows = delivery(1000, at_random=1.0, source="review")
    assert believed(small_problem, rows).labelled.equals(rows)


def test_the_api_is_judged_by_the_day(small_problem: Problem) -> None:
    bad = [delivery(1, at_random=1.0, source="api", minutes=number % 600, seed=number) for number in range(2000)]
    good = delivery(3000, source="api", minutes=24 * 60)
    found = believed(small_problem, pl.concat([*bad, good]))
    assert len(found.labelled) == 3000


def test_too_few_to_tell_are_kept_and_left_to_the_smallest_comparison(small_problem: Problem) -> None:
    rows = delivery(small_problem.monitoring.performance.minimum_rows - 1, at_random=1.0)
    assert believed(small_problem, rows).doubts == ()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(500, 3000), at_random=st.floats(0, 0.3))
def test_labels_that_mostly_fit_are_believed(small_problem: Problem, seed: int, rows: int, at_random: float) -> None:
    assert believed(small_problem, delivery(rows, at_random=at_random, seed=seed)).doubts == ()
