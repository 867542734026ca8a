"""The reasons that an expert sees: also of predictions for which nobody had asked any."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ml.bundle.bundle import fetch, key_of
from ml.feedback.queue import Case, ReviewQueue
from ml.feedback.reasons import Reasons
from ml.model.model import ServedModel
from ml.problem import Problem
from ml.store import Store
from tests.conftest import rows_of
from tests.live import log_rows, write_log


@pytest.fixture
def problem(small_problem: Problem) -> Problem:
    everything = small_problem.review.model_copy(update={"sample_fraction": 1.0})
    return small_problem.model_copy(update={"review": everything})


@pytest.fixture
def case(store: Store, published: str, problem: Problem, tmp_path: Path) -> tuple[Case, dict[str, Any]]:
    """A case of the release in the store, as it was logged: without reasons."""
    model = ServedModel.load(tmp_path / "b", fetch(store, published, tmp_path / "b"), 1)
    asked = rows_of(problem, 1, seed=5).iloc[0].to_dict()
    _, scores, decisions = model.answer(msgspec.json.encode({k: int(v) for k, v in asked.items()}), "x")
    now = datetime.now(UTC)
    given = {"score": float(scores[0]), "decision": int(decisions[0]), "release": published}
    write_log(store, problem, log_rows(problem, 1, now - timedelta(hours=1), **given, **asked))
    queue = ReviewQueue(store, problem)
    queue.refresh(now)
    (found,) = queue.cases()
    return found, queue.row(found)


def test_they_are_worked_out_and_add_up(
    store: Store, problem: Problem, case: tuple[Case, dict[str, Any]], tmp_path: Path
) -> None:
    reasons = json.loads(Reasons(store, problem).of(*case) or "null")
    assert {each["feature"] for each in reasons} == set(problem.feature_names)
    base = json.loads((tmp_path / "b" / "explanation.json").read_text())["base_score"]
    assert base + sum(each["contribution"] for each in reasons) == pytest.approx(case[0].score, abs=1e-6)


def test_what_was_logged_is_what_is_shown(store: Store, problem: Problem, case: tuple[Case, dict[str, Any]]) -> None:
    assert Reasons(store, problem).of(case[0], case[1] | {"reasons": "[]x"}) == "[]x"


@pytest.mark.parametrize("spoilt", ["score", "row", "bundle", "signature", "coarse"])
def test_what_can_not_be_asked_again_has_none(
    store: Store, problem: Problem, case: tuple[Case, dict[str, Any]], spoilt: str
) -> None:
    """Better no reasons than those of another row or of a release that nobody vouches for."""
    found, row = case
    if spoilt == "score":
        found = found.model_copy(update={"score": 0.123})
    elif spoilt == "row":
        row = row | {"AGEP": None}
    elif spoilt == "bundle":
        store.write(f"{key_of(found.release)}/model/model.pkl", b"not what it was")
    elif spoilt == "signature":
        store.delete(f"{key_of(found.release)}/manifest.json.sig")
    else:
        omitted = problem.prediction_log.model_dump() | {
            "sensitive": {"SEX": {"logged": "omitted", "why": "nobody needs it"}}
        }
        problem = problem.model_copy(update={"prediction_log": type(problem.prediction_log)(**omitted)})
    assert Reasons(store, problem).of(found, row) is None


def test_nobody_waits_for_them_and_they_are_there_a_little_later(
    store: Store, problem: Problem, case: tuple[Case, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look is answered while the release is still being loaded; it is loaded once."""
    reasons, may_load, done = Reasons(store, problem), threading.Event(), threading.Event()
    asked: list[str] = []

    def slow(self: Reasons, case: Case, row: dict[str, Any]) -> str | None:
        asked.append(case.case)
        may_load.wait()
        return '[{"feature": "AGEP", "contribution": 0.25}]'

    work_out = Reasons._work_out  # pyright: ignore[reportPrivateUsage]

    def told(self: Reasons, case: Case, row: dict[str, Any]) -> None:
        work_out(self, case, row)
        done.set()

    monkeypatch.setattr(Reasons, "of", slow)
    monkeypatch.setattr(Reasons, "_work_out", told)
    assert reasons.beside(*case) == reasons.beside(*case) == (None, True)
    may_load.set()
    assert done.wait(60)
    assert reasons.beside(*case) == ('[{"feature": "AGEP", "contribution": 0.25}]', False)
    assert asked == [case[0].case]
    assert reasons.beside(case[0], case[1] | {"reasons": "[]x"}) == ("[]x", False)
