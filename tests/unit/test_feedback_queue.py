"""The experts' queue: what gets in and why, one decision a case, and no decision lost."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.bundle.bundle import key_of
from ml.errors import InputRefused
from ml.feedback._incoming import from_file
from ml.feedback.labels import add_labels, joined, read_labels
from ml.feedback.queue import CASES, CaseTaken, ReviewQueue
from ml.feedback.ranges import training_ranges
from ml.feedback.selection import TrainingRange, select
from ml.problem import Numeric, Problem, Review
from ml.store import Store
from tests.live import labels_file, log_rows, write_log

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MORNING = datetime(2026, 3, 10, 6, tzinfo=UTC)

DECIDE = """
import sys
from datetime import UTC, datetime
from ml.feedback.queue import CaseTaken, ReviewQueue
from ml.problem import load_problem
from ml.store import Store
uri, case, me = sys.argv[1:]
queue = ReviewQueue(Store(uri), load_problem())
sys.stdin.readline()
try:
    queue.decide(case, "overrule", me, "because", datetime.now(UTC))
except CaseTaken as taken:
    print("taken:", taken)
else:
    print("mine")
"""


def with_review(problem: Problem, **settings: Any) -> Problem:
    review = {"margin": 0.05, "sample_fraction": 0.0, "maximum_queue": 100, "window_days": 30} | settings
    return problem.model_copy(update={"review": Review(**review)})


@pytest.fixture
def problem(small_problem: Problem) -> Problem:
    return with_review(small_problem)


@pytest.fixture
def queue(store: Store, problem: Problem) -> ReviewQueue:
    """Five cases of ten predictions: scores 0.60 to 0.69, the threshold 0.66."""
    scores = [0.60 + number / 100 for number in range(10)]
    write_log(store, problem, log_rows(problem, 10, MORNING, score=scores, threshold=0.66))
    queue = ReviewQueue(
        store, problem.model_copy(update={"review": problem.review.model_copy(update={"margin": 0.0201})})
    )
    assert queue.refresh(NOW) == 5
    return queue


def test_cases_near_the_threshold_wait_the_nearest_first(queue: ReviewQueue) -> None:
    distances = [abs(case.score - 0.66) for case in queue.cases()]
    assert distances == sorted(distances)
    assert max(distances) <= 0.0201
    assert {case.why for case in queue.cases()} == {("low_confidence",)}
    assert queue.refresh(NOW) == 0


def test_a_decision_is_a_label_with_its_author_and_the_case_is_gone(
    queue: ReviewQueue, store: Store, problem: Problem
) -> None:
    first, second, *rest = queue.cases()
    queue.decide(first.case, "confirm", "eve", "", NOW)
    queue.decide(second.case, "overrule", "ada", " sees\ntwo jobs ", NOW)
    labels = {row["prediction_id"]: row for row in read_labels(store).iter_rows(named=True)}
    assert labels[first.prediction_id]["label"] == first.decision
    assert labels[second.prediction_id]["label"] == 1 - second.decision
    assert labels[second.prediction_id] | {"label": None} == {
        "prediction_id": second.prediction_id,
        "label": None,
        "source": "review",
        "author": "ada",
        "note": "sees\ntwo jobs",
        "at": NOW,
        "arrived_at": NOW,
    }
    assert [case.case for case in queue.cases()] == [case.case for case in rest]
    assert queue.refresh(NOW + timedelta(hours=1)) == 0
    assert joined(store, problem, MORNING, NOW)["label_source"].to_pylist() == ["review", "review"]


@pytest.mark.parametrize(
    ("verdict", "note", "says"),
    [
        ("overrule", " ", "needs a note"),
        ("confirm", "x" * 2001, "at most 2,000"),
        ("confirm", "a\x00b", "control characters"),
    ],
)
def test_a_decision_that_says_too_little_or_too_much_is_refused(
    queue: ReviewQueue, store: Store, verdict: Any, note: str, says: str
) -> None:
    before = sorted(store.list())
    with pytest.raises(InputRefused, match=says):
        queue.decide(queue.cases()[0].case, verdict, "eve", note, NOW)
    assert sorted(store.list()) == before


def test_only_those_whom_the_problem_names_may_decide(store: Store, problem: Problem, queue: ReviewQueue) -> None:
    strict = ReviewQueue(store, with_review(problem, reviewers=("eve",)))
    with pytest.raises(InputRefused, match="bob may not review"):
        strict.decide(queue.cases()[0].case, "confirm", "bob", "", NOW)
    strict.decide(queue.cases()[0].case, "confirm", "eve", "", NOW)


def test_of_experts_who_decide_at_once_one_wins(queue: ReviewQueue, store: Store) -> None:
    case = queue.cases()[0]
    experts = [
        subprocess.Popen(
            [sys.executable, "-c", DECIDE, store.uri, case.case, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("ada", "bob", "eve")
    ]
    answers = [expert.communicate("\n", timeout=120)[0].strip() for expert in experts]
    assert answers.count("mine") == 1
    winner = ("ada", "bob", "eve")[answers.index("mine")]
    assert all(f"{winner} overruled" in answer for answer in answers if answer != "mine")
    assert read_labels(store)["author"].to_list() == [winner]


@pytest.mark.parametrize("steps", [0, 1])
def test_a_decision_that_was_cut_short_is_completed(
    queue: ReviewQueue, store: Store, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    case = queue.cases()[0]

    def dying(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, ["write", "delete"][steps], dying)
        with pytest.raises(KeyboardInterrupt):
            queue.decide(case.case, "confirm", "eve", "", NOW)
    assert case not in queue.cases()
    with pytest.raises(CaseTaken, match="eve confirmed"):
        queue.decide(case.case, "confirm", "ada", "", NOW)
    queue.refresh(NOW)
    assert read_labels(store)["author"].to_list() == ["eve"]
    assert not store.exists(f"{CASES}/{case.name}")


def test_a_case_whose_label_arrived_waits_no_longer(
    queue: ReviewQueue, store: Store, problem: Problem, tmp_path: Path
) -> None:
    case = queue.cases()[0]
    add_labels(store, problem, from_file(labels_file(tmp_path, {case.prediction_id: 1})), "file", "a", NOW)
    assert queue.refresh(NOW) == 0
    assert case not in queue.cases()
    with pytest.raises(CaseTaken, match="not in the queue"):
        queue.find(case.case)


def test_the_case_shows_the_row_as_it_was_logged(queue: ReviewQueue, problem: Problem, store: Store) -> None:
    case = queue.cases()[0]
    row = queue.row(case)
    assert row["prediction_id"] == case.prediction_id
    assert all(row[name] is not None for name in problem.feature_names)
    store.delete("predictions")
    with pytest.raises(CaseTaken, match="removed from the log"):
        queue.row(case)
    assert case not in queue.cases()


def test_the_queue_is_bounded_and_the_sample_comes_first(store: Store, problem: Problem) -> None:
    write_log(store, problem, log_rows(problem, 400, MORNING))
    queue = ReviewQueue(store, with_review(problem, maximum_queue=12, sample_fraction=0.02, margin=0.3))
    assert queue.refresh(NOW) == 12
    sampled = ["sample" in case.why for case in queue.cases()]
    assert sampled == sorted(sampled, reverse=True)
    assert 0 < sum(sampled) < 12
    for case in queue.cases()[:3]:
        queue.decide(case.case, "confirm", "eve", "", NOW)
    assert queue.refresh(NOW) == 3


def test_what_a_shadow_said_is_not_reviewed(store: Store, problem: Problem) -> None:
    write_log(store, problem, log_rows(problem, 20, MORNING, role="shadow", score=0.6667))
    assert ReviewQueue(store, problem).refresh(NOW) == 0


def test_a_hostile_identifier_stays_inside_the_queue(store: Store, problem: Problem) -> None:
    write_log(store, problem, log_rows(problem, 1, MORNING, prediction_id="../../x", score=0.6667))
    queue = ReviewQueue(store, problem)
    assert queue.refresh(NOW) == 1
    queue.decide(queue.cases()[0].case, "confirm", "eve", "", NOW)
    assert read_labels(store)["prediction_id"].to_list() == ["../../x"]


def test_rows_outside_the_training_range_name_what_is_outside(problem: Problem) -> None:
    number = next(f for f in problem.features if isinstance(f, Numeric))
    code = next(f for f in problem.features if not isinstance(f, Numeric))
    rows = log_rows(problem, 3, MORNING, score=0.1, **{number.name: [30, 40, 99], code.name: [1, 2, 1]})
    reference = pl.DataFrame(log_rows(problem, 400, MORNING, seed=9)).with_columns(
        pl.lit(30).alias(number.name), pl.lit(1).alias(code.name)
    )
    seen = pl.concat([reference, reference.with_columns(pl.lit(40).alias(number.name))])
    chosen = select(problem, pl.DataFrame(rows), {rows[0]["release"]: TrainingRange.of(problem, seen)})
    outside = dict(chosen.select("prediction_id", "outside").iter_rows())
    assert outside["r-1"] == [code.name]
    assert outside["r-2"] == [number.name]
    assert "r-0" not in outside
    assert select(problem, pl.DataFrame(rows), {}).is_empty()


def test_ranges_come_from_the_bundle_and_only_from_an_unaltered_one(
    store: Store, small_problem: Problem, published: str
) -> None:
    ranges = training_ranges(store, small_problem, [published, f"sha256:{'0' * 64}"])
    assert list(ranges) == [published]
    assert set(ranges[published].bounds) | set(ranges[published].codes) == set(small_problem.feature_names)
    store.write(f"{key_of(published)}/reference.parquet", b"PAR1")
    assert training_ranges(store, small_problem, [published]) == {}


@settings(deadline=None, max_examples=20)
@given(fraction=st.floats(0, 1), cut=st.integers(0, 60))
def test_the_sample_is_the_same_from_whichever_window_it_is_drawn(
    small_problem: Problem, fraction: float, cut: int
) -> None:
    problem = with_review(small_problem, sample_fraction=fraction, margin=1e-9)
    table = pl.DataFrame(log_rows(problem, 60, MORNING))
    whole = set(select(problem, table, {})["prediction_id"])
    parts = {name for part in (table[:cut], table[cut:]) for name in select(problem, part, {})["prediction_id"]}
    assert whole == parts


def test_the_sample_has_the_size_that_was_asked_for(small_problem: Problem) -> None:
    problem = with_review(small_problem, sample_fraction=0.1, margin=1e-9)
    ids = [f"{number}" for number in range(20_000)]
    table = (
        pl.DataFrame(log_rows(problem, 1, MORNING))
        .drop("prediction_id")
        .join(pl.DataFrame({"prediction_id": ids}), how="cross")
    )
    assert len(select(problem, table, {})) == pytest.approx(2000, rel=0.1)  # five standard deviations
