"""Which live rows a challenger learns from, which it is measured on, and that the two never mix."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.bundle.bundle import key_of
from ml.bundle.evaluation import ChampionComparison
from ml.bundle.manifest import MetricResult
from ml.errors import InputRefused, ReleaseRefused
from ml.feedback.challenger import against, live_rows, said
from ml.problem import Problem, Retraining
from ml.store import Store
from ml.training.candidates import BASELINE, Candidate, RuleClassifier
from ml.training.fit import _joined
from ml.training.threshold import Threshold
from tests.live import log_rows
from tests.stages import release_into, stage

MORNING = datetime(2026, 3, 10, 6, tzinfo=UTC)


def labelled(
    problem: Problem, count: int, *, reviewed: tuple[int, ...] = (), times: list[datetime] | None = None
) -> pl.DataFrame:
    rows = log_rows(problem, count, MORNING, AGEP=40)
    for number, row in enumerate(rows):
        row["at"] = times[number] if times else row["at"]
        row["label"] = number % 2
        row["label_source"] = "review" if number in reviewed else "file"
    return pl.DataFrame(rows, infer_schema_length=None)


def rules(problem: Problem, fraction: float) -> Problem:
    changed = problem.retraining.model_dump() | {"comparison_fraction": fraction}
    return problem.model_copy(update={"retraining": Retraining(**changed)})


def test_the_newest_rows_are_compared_on_and_the_older_learned_from(small_problem: Problem, store: Store) -> None:
    live = live_rows(rules(small_problem, 0.25), store, labelled(small_problem, 100))
    assert (len(live.older.frame), len(live.newest), live.unusable) == (75, 25, 0)
    assert live.since == MORNING + timedelta(seconds=75)
    assert live.until == MORNING + timedelta(seconds=99)
    assert list(live.newest.columns) == small_problem.columns
    assert live.older.frame[small_problem.identifier].is_unique


def test_reviewed_cases_are_learned_from_and_not_compared_on(small_problem: Problem, store: Store) -> None:
    live = live_rows(rules(small_problem, 0.5), store, labelled(small_problem, 40, reviewed=(1, 2, 3, 38, 39)))
    assert live.newest[small_problem.target.column].size == 18  # the newer half of 35, from row 20 on, without two
    assert len(live.older.frame) == 20


def test_rows_that_say_too_little_are_counted(small_problem: Problem, store: Store) -> None:
    ages = [40] * 15 + [5] * 3 + [None] * 2  # a child is outside the population
    rows = labelled(small_problem, 20).with_columns(pl.Series("AGEP", ages, pl.Int32))
    assert live_rows(small_problem, store, rows).unusable == 5


def test_the_digest_is_of_the_rows_whatever_their_order(small_problem: Problem, store: Store) -> None:
    rows = labelled(small_problem, 50)
    digest = live_rows(small_problem, store, rows).older.digest
    assert live_rows(small_problem, store, rows.sample(fraction=1.0, shuffle=True, seed=1)).older.digest == digest
    changed = rows.with_columns(
        pl.when(pl.col("prediction_id") == "r-0").then(1).otherwise(pl.col("label")).alias("label")
    )
    assert live_rows(small_problem, store, changed).older.digest != digest


def test_a_log_that_keeps_too_little_cannot_train(small_problem: Problem, store: Store) -> None:
    coarse = small_problem.prediction_log.sensitive["AGEP"].model_copy(update={"logged": "banded"})
    sensitive = small_problem.prediction_log.sensitive | {"AGEP": coarse}
    log = small_problem.prediction_log.model_copy(update={"sensitive": sensitive})
    with pytest.raises(InputRefused, match="doesn't keep AGEP"):
        live_rows(small_problem.model_copy(update={"prediction_log": log}), store, labelled(small_problem, 10))


def test_labels_of_reviews_alone_or_of_one_moment_are_refused(small_problem: Problem, store: Store) -> None:
    with pytest.raises(InputRefused, match="nothing to compare on"):
        live_rows(small_problem, store, labelled(small_problem, 5, reviewed=(0, 1, 2, 3, 4)))
    with pytest.raises(InputRefused, match="of one moment"):
        live_rows(small_problem, store, labelled(small_problem, 5, times=[MORNING] * 5))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(10, 60),
    fraction=st.floats(0.05, 0.9),
    reviewed=st.sets(st.integers(0, 59)),
    step=st.integers(1, 9),
)
def test_no_row_is_on_both_sides_and_every_older_one_is_older(
    small_problem: Problem, store: Store, count: int, fraction: float, reviewed: set[int], step: int
) -> None:
    times = [MORNING + timedelta(seconds=number // step) for number in range(count)]
    rows = labelled(small_problem, count, reviewed=tuple(reviewed), times=times)
    try:
        live = live_rows(rules(small_problem, fraction), store, rows)
    except InputRefused:
        return
    assert len(live.newest) >= int((count - len([r for r in reviewed if r < count])) * fraction)
    older = rows.filter(pl.col("at") < live.since)
    assert len(live.older.frame) == len(older)
    assert len(live.newest) == len(rows.filter((pl.col("at") >= live.since) & (pl.col("label_source") == "file")))


def test_live_rows_go_behind_those_of_the_file(small_problem: Problem, store: Store) -> None:
    live = live_rows(small_problem, store, labelled(small_problem, 60))
    file = live.newest.assign(**{small_problem.identifier: np.arange(100, 100 + len(live.newest))})
    both = _joined(small_problem, file, live.older.frame)
    assert len(both) == 60
    assert both[small_problem.identifier].is_monotonic_increasing
    assert both[small_problem.identifier].is_unique


def candidate_of(problem: Problem) -> Candidate:
    threshold = Threshold(chosen=0.5, theoretical=0.5, empirical=0.5, theoretical_cost=1.0, empirical_cost=1.0)
    return Candidate(BASELINE, RuleClassifier(problem.baseline).fit(None), {}, threshold, np.zeros(0), {})  # type: ignore[arg-type]


def test_both_score_the_same_rows_by_their_own_thresholds(
    small_problem: Problem, candidate: Any, tmp_path: Any
) -> None:
    dev = stage(tmp_path, "dev")
    champion = release_into(dev, candidate, small_problem)
    live = live_rows(small_problem, dev.store, labelled(small_problem, 200))
    comparison = against(small_problem, dev.store, champion, live, candidate_of(small_problem))
    assert (comparison.release, comparison.rows) == (champion, len(live.newest))
    cost = comparison.metric("expected_cost")
    assert cost.baseline is not None
    assert cost.difference_low is not None
    assert cost.difference_high is not None
    assert cost.difference_low <= cost.value - cost.baseline <= cost.difference_high
    dev.store.write(f"{key_of(champion)}/model/model.pkl", b"something else")
    with pytest.raises(ReleaseRefused):
        against(small_problem, dev.store, champion, live, candidate_of(small_problem))


def test_a_comparison_is_said_in_a_line_for_each_metric() -> None:
    at = datetime(2026, 3, 10, 12, tzinfo=UTC)
    comparison = ChampionComparison(
        release=f"sha256:{'c' * 64}",
        rows=1500,
        since=at - timedelta(hours=1),
        until=at,
        metrics=(
            MetricResult(name="expected_cost", value=0.25, baseline=0.26, difference_low=-0.02, difference_high=0.001),
            MetricResult(name="roc_auc", value=None),
        ),
    )
    head, cost, roc_auc = said(comparison)
    assert "on 1,500 predictions of 2026-03-10 11:00 to 2026-03-10 12:00 UTC" in head
    assert " ".join(cost.split()) == "expected_cost 0.2500, champion 0.2600: -0.0100, between -0.0200 and +0.0010"
    assert "not judged" in roc_auc
