"""Erasure, export and retention: all of a person and nothing of others, also when it is killed in the middle."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from ml.erasures import ERASURES
from ml.errors import MlopsError
from ml.feedback._incoming import from_file
from ml.feedback.labels import add_labels, joined, read_labels
from ml.feedback.queue import ReviewQueue
from ml.governance import privacy_command
from ml.governance.privacy import Erased, erase, erase_late, subject_export
from ml.governance.records import Person, find, prediction_ids
from ml.governance.retention import first_kept_day, retain
from ml.predictions import log_schema, read_log
from ml.problem import Problem, Review
from ml.release.audit import audit
from ml.release.stage import Stage
from ml.store import Store
from ml.subjects import pseudonym
from tests.live import labels_file, log_rows, runtime_json, write_log
from tests.stages import AUTHOR, stage

pytestmark = pytest.mark.slow

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MORNING = datetime(2026, 3, 10, 6, tzinfo=UTC)
LONG = (NOW - timedelta(days=400), NOW + timedelta(days=1))
CHANGES = 22  # that the erasure of this person makes in the store
HELD = {"predictions": 12, "labels": 6, "rejected_labels": 3, "review_cases": 8, "review_decisions": 1}


@pytest.fixture
def place(tmp_path: Path) -> Stage:
    return stage(tmp_path, "dev")


@pytest.fixture
def problem(small_problem: Problem) -> Problem:
    everything = Review(margin=0.49, sample_fraction=1.0, maximum_queue=1000, window_days=30)
    return small_problem.model_copy(update={"review": everything})


@pytest.fixture
def others(place: Stage, problem: Problem, tmp_path: Path) -> list[str]:
    """Two people with labels, rejected labels, cases and decisions; the identifiers of who is not to be erased."""
    store = place.store
    names = {person: pseudonym(store, person) for person in ("anna", "bert")}
    subjects = [names["anna"], names["bert"], None] * 4
    old = write_log(store, problem, log_rows(problem, 12, MORNING - timedelta(days=2), prefix="o", subject=subjects))
    new = write_log(store, problem, log_rows(problem, 12, MORNING, prefix="n", subject=subjects))
    only = write_log(
        store, problem, log_rows(problem, 4, MORNING - timedelta(days=9), prefix="a", subject=names["anna"])
    )
    hers = [*old[::3], *new[::3], *only]
    queue = ReviewQueue(store, problem)
    add(store, problem, labels_file(tmp_path, {hers[0]: 1, hers[1]: 0, hers[8]: 1, old[1]: 1}, "1.csv"))
    add(store, problem, labels_file(tmp_path, {hers[0]: 0, hers[1]: 1, hers[2]: 9, old[1]: 0}, "2.csv"))
    queue.refresh(NOW)
    cases = {case.prediction_id: case for case in queue.cases()}
    for case in (cases[hers[4]], cases[new[1]]):
        queue.decide(case.case, "overrule", "eve", "because", NOW)
    return [name for name in (*old, *new) if name not in hers]


def add(store: Store, problem: Problem, file: Path) -> None:
    add_labels(store, problem, from_file(file), "file", "a", NOW)


def run(place: Stage, subject: str = "anna", now: datetime = NOW) -> Erased:
    return erase(place.store, place.ledger, place.signer(AUTHOR), subject, now, lambda line: None)


def everything(store: Store) -> dict[str, bytes]:
    return {key: store.read(key) for key in store.list()}


def test_all_of_a_person_goes_and_nothing_of_others(place: Stage, problem: Problem, others: list[str]) -> None:
    store = place.store
    labels = {row[0] for row in read_labels(store).select("prediction_id").iter_rows()} & set(others)
    cases = [case for case in ReviewQueue(store, problem).cases() if case.prediction_id in others]
    her_ids = prediction_ids(store, Person(pseudonym(store, "anna"), NOW))
    done = run(place)
    assert done.removed == HELD
    assert done.remaining == 0
    assert read_log(store, problem, *LONG)["prediction_id"].to_pylist() == others
    assert set(read_labels(store)["prediction_id"]) == labels
    assert ReviewQueue(store, problem).cases() == cases
    for key, data in everything(store).items():
        if key.startswith("privacy/"):
            continue
        assert pseudonym(store, "anna").encode() not in data, key
        if not key.endswith(".parquet"):
            assert not [name for name in her_ids if f'"{name}"'.encode() in data], key


def test_the_log_keeps_its_schema_to_the_letter(place: Stage, problem: Problem, others: list[str]) -> None:
    run(place)
    for key in place.store.list("predictions"):
        assert pa.parquet.read_schema(place.store.open(key)).equals(log_schema(problem)), key


def test_the_ledger_says_that_it_happened_not_whose_and_the_chain_holds(place: Stage, others: list[str]) -> None:
    before = len(place.ledger.entries())
    done = run(place)
    entry = place.ledger.entries()[-1]
    assert len(place.ledger.entries()) == before + 1 == done.ledger_entry
    proof = {"objects": done.searched_objects, "rows": done.searched_rows, "digest": done.search_digest}
    said = {"request": done.request, "removed": HELD, "remaining": 0, "searched": proof}
    assert (entry.event, entry.details) == ("erased", said)
    for secret in ("anna", pseudonym(place.store, "anna")):
        assert secret.encode() not in entry.data
    assert all(finding.holds for finding in audit(place))


def test_nothing_but_the_pseudonym_stays_behind(place: Stage, others: list[str]) -> None:
    run(place)
    (key,) = place.store.list(ERASURES)
    left = json.loads(place.store.read(key))
    assert left["prediction_ids"] == []
    assert left["planned"] == {}
    assert left["is_done"]


def test_somebody_of_whom_nothing_is_held_is_recorded_too(place: Stage) -> None:
    done = run(place, "nobody")
    assert set(done.removed.values()) == {0}
    assert place.ledger.entries()[-1].details["request"] == done.request


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("steps", range(CHANGES))
def test_a_run_after_a_kill_completes_it(
    place: Stage, problem: Problem, others: list[str], monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    done, real = 0, {name: getattr(Store, name) for name in ("write", "delete", "create")}

    def dying(name: str) -> Any:
        def change(self: Store, *arguments: Any) -> None:
            nonlocal done
            if done == steps:
                raise _Killed
            done += 1
            real[name](self, *arguments)

        return change

    with monkeypatch.context() as patch:
        for name in real:
            patch.setattr(Store, name, dying(name))
        try:
            run(place)
        except _Killed:
            pass
        else:
            pytest.fail("an erasure makes more changes than are killed here")
    place = stage(place.file.parent, "dev")  # another process: nothing is remembered
    again = run(place, now=NOW + timedelta(hours=1))
    erased = [entry for entry in place.ledger.entries() if entry.event == "erased"]
    assert len(erased) == 1
    assert erased[0].details["request"] == again.request
    assert erased[0].details["removed"] == again.removed == HELD
    assert read_log(place.store, problem, *LONG)["prediction_id"].to_pylist() == others
    assert all(finding.holds for finding in audit(place))


def test_an_erasure_makes_no_more_changes_than_were_killed(
    place: Stage, others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = 0
    for name in ("write", "delete", "create"):
        real = getattr(Store, name)

        def counted(self: Store, *arguments: Any, real: Any = real) -> None:
            nonlocal changes
            changes += 1
            real(self, *arguments)

        monkeypatch.setattr(Store, name, counted)
    run(place)
    assert changes == len(range(CHANGES))


def test_what_a_server_still_had_is_removed_later_and_what_is_new_stays(
    place: Stage, problem: Problem, others: list[str]
) -> None:
    store, name = place.store, pseudonym(place.store, "anna")
    run(place)
    write_log(store, problem, log_rows(problem, 3, NOW - timedelta(minutes=1), prefix="late", subject=name))
    write_log(store, problem, log_rows(problem, 2, NOW + timedelta(hours=2), prefix="again", subject=name))
    arguments = (store, place.ledger, place.signer(AUTHOR), NOW - timedelta(days=30), lambda line: None)
    assert erase_late(*arguments) == 3
    assert erase_late(*arguments) == 0
    assert [e.details["removed"]["predictions"] for e in place.ledger.entries() if e.event == "erased"] == [12, 3]  # type: ignore[index,call-overload]
    mine = prediction_ids(store, Person(name, NOW + timedelta(days=1)))
    assert mine == {"again-0", "again-1"}
    assert erase_late(*arguments[:3], NOW + timedelta(days=1), arguments[4]) == 0
    assert list(store.list(ERASURES)) == []


def test_an_object_that_cannot_be_read_stops_the_proof(place: Stage, others: list[str]) -> None:
    place.store.write("predictions/day=2026-03-01/release=0/x.parquet", b"PAR1 torn")
    with pytest.raises(MlopsError, match=r"x\.parquet can't be read .* whose records"):
        run(place)
    assert not [entry for entry in place.ledger.entries() if entry.event == "erased"]


def test_a_person_gets_all_that_is_held_and_what_it_means(place: Stage, problem: Problem, others: list[str]) -> None:
    held = subject_export(place.store, problem, "anna")
    assert {area: len(rows) for area, rows in held["records"].items()} == HELD
    assert held["columns"]["SEX"] == {"title": "Sex", "codes": {1: "male", 2: "female"}}
    assert not [row for row in held["records"]["predictions"] if row["subject"] != held["pseudonym"]]
    run(place)
    assert not any(subject_export(place.store, problem, "anna")["records"].values())
    assert any(subject_export(place.store, problem, "bert")["records"].values())


def test_days_that_are_too_old_go_and_the_others_stay(place: Stage, problem: Problem, others: list[str]) -> None:
    store = place.store
    first = first_kept_day(NOW, 2)
    deleted = retain(store, first)
    assert deleted["predictions"] == 1  # of nine days ago; those of two days ago are within two days
    assert {row["prediction_id"][0] for row in read_log(store, problem, *LONG).to_pylist()} == {"o", "n"}
    assert retain(store, first) == dict.fromkeys(deleted, 0)
    retain(store, first_kept_day(NOW + timedelta(days=3), 1))
    assert not [key for key in store.list() if "day=" in key]
    assert joined(store, problem, *LONG).num_rows == 0


def command(store: Store, *arguments: str, stdin: str = "") -> Result:
    target = {"erase": privacy_command.erase, "retention": privacy_command.retention}.get(
        arguments[0], privacy_command.subject_export
    )
    env = {"MLOPS_RUNTIME": runtime_json(store, log_retention_days=30), "MLOPS_SIGN_AS": AUTHOR}
    return CliRunner().invoke(target, list(arguments[1:]), input=stdin, env=env, catch_exceptions=False)


def test_the_commands_say_what_they_did(
    place: Stage, others: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys").mkdir()
    monkeypatch.setenv("MLOPS_TRUSTED_KEYS", str(tmp_path / "keys"))
    out = tmp_path / "anna.json"
    assert (
        "records in"
        in command(place.store, "subject-export", "--subject", "-", "--out", str(out), stdin="anna\n").output
    )
    assert out.stat().st_mode & 0o077 == 0
    assert len(json.loads(out.read_text())["records"]["predictions"]) == 12
    erased = json.loads(command(place.store, "erase", "--subject", "anna", "--json").stdout)
    assert erased["removed"] == HELD
    assert "predictions" in command(place.store, "erase", "--subject", "bert").output
    assert find(place.store, Person(pseudonym(place.store, "bert"), NOW)).found == ()
    assert command(place.store, "retention").exit_code == 0
    assert json.loads(command(place.store, "retention", "--days", "1", "--json").stdout)["late_rows"] == 0


def test_labels_of_others_in_the_same_object_stay_to_the_last_column(place: Stage, others: list[str]) -> None:
    before = read_labels(place.store).filter(pl.col("prediction_id").is_in(others)).sort("prediction_id")
    run(place)
    assert read_labels(place.store).sort("prediction_id").equals(before)
