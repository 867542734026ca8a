"""What could bring an erased person back: a spool, a rotation at the same moment, another erasure, a dead writer."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml.errors import MlopsError
from ml.feedback.labels import LABELS
from ml.feedback.queue import DECISIONS, ReviewQueue
from ml.governance._alone import LASTS, LOCK, alone
from ml.governance.privacy import Erased, erase, erase_late
from ml.governance.retention import retain
from ml.predictions import read_log
from ml.problem import Problem, Review
from ml.release.stage import Stage
from ml.serving.log.spool import Segment, segments
from ml.serving.log.store import store_segment
from ml.store import UNFINISHED, Store
from ml.subjects import pseudonym
from ml.trust.ledger import LedgerBroken
from tests.live import frame_of, log_rows, write_log
from tests.stages import AUTHOR, stage

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MORNING = datetime(2026, 3, 10, 6, tzinfo=UTC)
LONG = (NOW - timedelta(days=9), NOW + timedelta(days=9))


@pytest.fixture
def place(tmp_path: Path) -> Stage:
    return stage(tmp_path, "dev")


def run(place: Stage, subject: str = "anna", now: datetime = NOW) -> Erased:
    return erase(place.store, place.ledger, place.signer(AUTHOR), subject, now, lambda line: None)


def spooled(folder: Path, problem: Problem, rows: list[dict[str, Any]]) -> Path:
    segment = Segment(folder, problem.feature_names)
    for row in rows:
        segment.append(frame_of(problem, row))
    segment.close()
    return segments(folder)[-1]


def ids(store: Store, problem: Problem) -> list[str]:
    return read_log(store, problem, *LONG)["prediction_id"].to_pylist()


def of(place: Stage, *people: str | None) -> list[str | None]:
    return [person and pseudonym(place.store, person) for person in people]


def test_a_spool_from_before_the_erasure_leaves_its_rows_out(
    place: Stage, small_problem: Problem, tmp_path: Path
) -> None:
    rows = log_rows(small_problem, 3, MORNING, prefix="m", subject=of(place, "anna", "bert", None))
    rows += log_rows(small_problem, 1, NOW + timedelta(hours=1), prefix="new", subject=of(place, "anna"))
    only_hers = log_rows(small_problem, 1, MORNING, prefix="h", subject=of(place, "anna"))
    first = spooled(tmp_path / "a", small_problem, rows)
    second = spooled(tmp_path / "b", small_problem, only_hers)
    run(place)
    store_segment(place.store, first)
    store_segment(place.store, second)
    assert ids(place.store, small_problem) == ["m-1", "m-2", "new-0"]
    assert not first.exists()
    assert not second.exists()
    assert len(list(place.store.list("predictions"))) == 1


def test_an_erasure_at_the_moment_of_a_rotation_misses_nothing(
    place: Stage, small_problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The erasure searches just before the object appears: after the rotation has looked for erasures."""
    rows = log_rows(small_problem, 2, MORNING, subject=of(place, "anna", "bert"))
    file = spooled(tmp_path / "spool", small_problem, rows)
    write, erased = Store.write, list[Erased]()

    def late(self: Store, key: str, data: bytes) -> None:
        if key.startswith("predictions") and not erased:
            with monkeypatch.context() as patch:
                patch.setattr(Store, "write", write)
                erased.append(run(place))
        write(self, key, data)

    monkeypatch.setattr(Store, "write", late)
    store_segment(place.store, file)
    assert erased[0].removed["predictions"] == 0
    assert ids(place.store, small_problem) == ["r-1"]


def test_two_people_are_not_erased_at_once(place: Stage, small_problem: Problem) -> None:
    write_log(place.store, small_problem, log_rows(small_problem, 2, MORNING, subject=of(place, "anna", "bert")))
    run(place)
    with (
        alone(place.store, open_mark(place, "anna"), datetime.now(UTC)),
        pytest.raises(MlopsError, match="has not ended"),
    ):
        run(place, "bert")
    assert ids(place.store, small_problem) == ["r-1"]
    assert not place.store.exists(LOCK)


def open_mark(place: Stage, subject: str) -> str:
    """The key of a person's erasure, as one that is under way."""
    (key,) = place.store.list("privacy/erasures")
    place.store.write(key, place.store.read(key).replace(b'"is_done":true', b'"is_done":false'))
    return key


def test_an_erasure_that_was_killed_does_not_stand_in_the_way_for_ever(place: Stage, small_problem: Problem) -> None:
    write_log(place.store, small_problem, log_rows(small_problem, 2, MORNING, subject=of(place, "anna", "bert")))
    run(place)
    key = open_mark(place, "anna")
    lock = {"erasure": key, "at": (datetime.now(UTC) - LASTS).isoformat()}
    place.store.write(LOCK, json.dumps(lock).encode())
    run(place, "bert")
    assert ids(place.store, small_problem) == []
    place.store.write(LOCK, json.dumps(lock | {"at": datetime.now(UTC).isoformat()}).encode())
    with pytest.raises(MlopsError, match="complete it"):
        run(place, "bert")
    erase_late(place.store, place.ledger, place.signer(AUTHOR), NOW - timedelta(days=9), lambda line: None)
    assert not place.store.exists(LOCK)
    assert all(b'"is_done":true' in place.store.read(key) for key in place.store.list("privacy/erasures"))


def test_a_decision_made_while_its_person_is_erased_leaves_no_label(
    place: Stage, small_problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = small_problem.model_copy(
        update={"review": Review(margin=0.49, sample_fraction=1.0, maximum_queue=9, window_days=30)}
    )
    write_log(place.store, problem, log_rows(problem, 1, MORNING, subject=of(place, "anna")))
    queue = ReviewQueue(place.store, problem)
    queue.refresh(NOW)
    (case,) = queue.cases()
    write = Store.write

    def slow(self: Store, key: str, data: bytes) -> None:
        if key.startswith(LABELS):
            with monkeypatch.context() as patch:
                patch.setattr(Store, "write", write)
                run(place)
        write(self, key, data)

    monkeypatch.setattr(Store, "write", slow)
    queue.decide(case.case, "confirm", "eve", "", NOW)
    assert not [key for prefix in (LABELS, DECISIONS, "review", "predictions") for key in place.store.list(prefix)]


def test_what_a_killed_writer_left_goes_too(place: Stage, small_problem: Problem) -> None:
    write_log(place.store, small_problem, log_rows(small_problem, 1, MORNING))
    folder = Path(place.store.path(next(iter(place.store.list("predictions"))))).parent
    dead, busy = folder / f"{UNFINISHED}dead", folder / f"{UNFINISHED}busy"
    for file in (dead, busy):
        file.write_bytes(b"rows of anybody")
    os.utime(dead, (0, 0))
    run(place)
    assert not dead.exists()
    assert busy.exists()
    os.utime(busy, (0, 0))
    retain(place.store, NOW.date())
    assert not busy.exists()


def test_a_broken_ledger_is_said_before_anything_is_removed(place: Stage, small_problem: Problem) -> None:
    write_log(place.store, small_problem, log_rows(small_problem, 1, MORNING, subject=of(place, "anna")))
    run(place, "nobody")
    (entry,) = place.store.list("ledger")
    place.store.write(entry, place.store.read(entry).replace(b'"remaining":0', b'"remaining":1'))
    with pytest.raises(LedgerBroken):
        run(stage(place.file.parent, "dev"))
    assert ids(place.store, small_problem) == ["r-0"]


def test_a_dry_run_deletes_nothing(place: Stage, small_problem: Problem) -> None:
    write_log(place.store, small_problem, log_rows(small_problem, 2, MORNING))
    tomorrow = (NOW + timedelta(days=1)).date()
    counted = retain(place.store, tomorrow, dry_run=True)
    assert ids(place.store, small_problem) == ["r-0", "r-1"]
    assert counted == retain(place.store, tomorrow)
    assert counted["predictions"] == 1
    assert ids(place.store, small_problem) == []
