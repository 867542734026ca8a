"""When a challenger is due: each trigger at its threshold, what stands in the way, and reports that say nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from ml.errors import MlopsError
from ml.feedback.triggers import MONITORING, Alerts, Standing, decide, read_alerts
from ml.problem import Problem, Retraining
from ml.store import Store

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MADE = NOW - timedelta(days=30)
CHAMPION = f"sha256:{'c' * 64}"
RULES = Retraining(
    maximum_age_days=60,
    minimum_new_labels=100,
    cooldown_days=7,
    comparison_fraction=0.25,
    minimum_comparison_rows=10,
    maximum_cost_increase=0.01,
)


@pytest.fixture
def problem(small_problem: Problem) -> Problem:
    return small_problem.model_copy(update={"retraining": RULES})


def alerts(**given: Any) -> Alerts:
    calm = {"alert": False, "summary": "calm"}
    base: dict[str, Any] = {"at": NOW - timedelta(hours=1), "release": CHAMPION, "drift": calm, "performance": calm}
    return Alerts.model_validate(base | given)


def standing(**given: Any) -> Standing:
    base: dict[str, Any] = {
        "champion": CHAMPION,
        "made_at": MADE,
        "new_labels": 0,
        "comparable": 1000,
        "alerts": alerts(),
    }
    return Standing(**base | given)


def holding(problem: Problem, state: Standing) -> set[str]:
    return {trigger.kind for trigger in decide(problem, state, NOW).triggers if trigger.holds}


ALERT = {"alert": True, "summary": "3 distributions have changed"}


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        ({}, set()),
        ({"made_at": NOW - timedelta(days=59, hours=23)}, set()),
        ({"made_at": NOW - timedelta(days=60)}, {"age"}),
        ({"new_labels": 99}, set()),
        ({"new_labels": 100}, {"labels"}),
        ({"alerts": alerts(drift=ALERT)}, {"drift"}),
        ({"alerts": alerts(performance=ALERT), "new_labels": 100}, {"performance", "labels"}),
        ({"alerts": None}, set()),
        ({"alerts": alerts(drift=ALERT, at=MADE - timedelta(seconds=1))}, set()),
        ({"alerts": alerts(drift=ALERT, release=f"sha256:{'d' * 64}")}, set()),
        ({"alerts": alerts(drift=ALERT, release=None)}, {"drift"}),
    ],
)
def test_each_trigger_holds_from_its_threshold_on(problem: Problem, given: dict[str, Any], kinds: set[str]) -> None:
    assert holding(problem, standing(**given)) == kinds
    assert decide(problem, standing(**given), NOW).is_due == bool(kinds)


@pytest.mark.parametrize(
    ("given", "is_due"),
    [
        ({"comparable": 40}, True),
        ({"comparable": 39}, False),
        ({"last_run_at": NOW - timedelta(days=7)}, True),
        ({"last_run_at": NOW - timedelta(days=6, hours=23)}, False),
        ({"asked_at": NOW - timedelta(days=7)}, True),
        ({"asked_at": NOW - timedelta(days=6, hours=23)}, False),
    ],
)
def test_a_trigger_is_not_enough(problem: Problem, given: dict[str, Any], is_due: bool) -> None:
    verdict = decide(problem, standing(new_labels=100, **given), NOW)
    assert verdict.is_due == is_due
    assert bool(verdict.hindrances) != is_due


def test_why_is_said_for_each(problem: Problem) -> None:
    says = {t.kind: t.says for t in decide(problem, standing(alerts=alerts(drift=ALERT)), NOW).triggers}
    assert says["drift"].startswith("3 distributions have changed (2026-03-10 11:00")
    assert says["age"] == "the champion is 30 days old; 60 are allowed"


def test_the_monitors_report_is_read_whatever_else_it_holds(store: Store) -> None:
    assert read_alerts(store) is None
    section = {"alert": True, "summary": "s", "features": {"AGEP": {"alert": True}}}
    report = {"schema_version": 1, "at": NOW, "release": CHAMPION, "drift": section, "performance": section, "x": []}
    store.write(MONITORING, msgspec.json.encode(report))
    found = read_alerts(store)
    assert found is not None
    assert (found.at, found.drift.alert, found.release) == (NOW, True, CHAMPION)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"at": "yesterday", "drift": {"alert": 1}, "performance": {}}'])
def test_a_report_that_cannot_be_read_is_said(store: Store, data: bytes) -> None:
    store.write(MONITORING, data)
    with pytest.raises(MlopsError, match="no monitoring report"):
        read_alerts(store)


def test_thresholds_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValidationError):
        Retraining(**RULES.model_dump() | {"comparison_fraction": 1.0})
