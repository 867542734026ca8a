"""Is it time to train a challenger? Judged from the champion's age, the monitor's report and the labels that came."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from ml.errors import MlopsError
from ml.problem import Problem
from ml.store import Store

__all__ = ["MONITORING", "Alerts", "Standing", "Trigger", "Verdict", "decide", "read_alerts"]

MONITORING: Final = "monitoring/latest.json"

Kind = Literal["age", "drift", "performance", "labels"]


class _Section(BaseModel):
    alert: bool
    summary: str = ""


class Alerts(BaseModel):
    """Of the monitor's newest report what counts here; the report holds more."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    release: str | None = None
    drift: _Section
    performance: _Section


@dataclass(frozen=True)
class Standing:
    """Where an environment stands: `new_labels` arrived since the champion was made, of `comparable` ones the newest
    part can be held out to compare with it. `doubts` say which labels contradict it, `trusted` why they count."""

    champion: str
    made_at: datetime
    new_labels: int
    comparable: int
    last_run_at: datetime | None = None
    asked_at: datetime | None = None  # of the platform, which trains by itself
    alerts: Alerts | None = None
    doubts: tuple[str, ...] = ()
    trusted: str | None = None


@dataclass(frozen=True)
class Trigger:
    """One reason to train, whether it holds, and what it was judged on."""

    kind: Kind
    holds: bool
    says: str


@dataclass(frozen=True)
class Verdict:
    """Every trigger, and what stands in the way although one holds.

    Labels of `doubts` are not learned from, nor compared on, unless somebody said why they are right: `trusted`.
    """

    triggers: tuple[Trigger, ...]
    hindrances: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    trusted: str | None = None

    @property
    def is_due(self) -> bool:
        """Whether to train now."""
        return any(trigger.holds for trigger in self.triggers) and not self.hindrances


def read_alerts(store: Store) -> Alerts | None:
    """The newest report of the monitor; None before the first, MlopsError for one that can't be read."""
    try:
        return Alerts.model_validate_json(store.read(MONITORING))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise MlopsError(
            f"{store.url(MONITORING)} is no monitoring report: {error.errors()[0]['msg']}. Run the monitor again."
        ) from error


def decide(problem: Problem, standing: Standing, now: datetime) -> Verdict:
    """Judge every trigger by the problem's thresholds; a report from before the champion, or on another, is ignored."""
    rules = problem.retraining
    age = now - standing.made_at
    alerts = standing.alerts
    stale = (
        "the monitor has not reported yet"
        if alerts is None
        else "the newest report is about another release"
        if alerts.release not in (None, standing.champion)
        else "the newest report is from before the champion"
        if alerts.at < standing.made_at
        else None
    )
    triggers = [
        Trigger(
            "age",
            age >= timedelta(days=rules.maximum_age_days),
            f"the champion is {age.days} days old; {rules.maximum_age_days} are allowed",
        ),
        Trigger(
            "labels",
            standing.new_labels >= rules.minimum_new_labels,
            f"{standing.new_labels:,} labels came since; {rules.minimum_new_labels:,} are enough",
        ),
    ]
    sections: tuple[Kind, Kind] = ("drift", "performance")
    for kind in sections:
        if alerts is None or stale:
            triggers.append(Trigger(kind, False, stale or ""))
        else:
            section: _Section = getattr(alerts, kind)
            says = section.summary or ("an alert" if section.alert else "no alert")
            triggers.append(Trigger(kind, section.alert, f"{says} ({alerts.at:%Y-%m-%d %H:%M} UTC)"))
    hindrances = tuple(_hindrances(problem, standing, now))
    return Verdict(tuple(triggers), hindrances, standing.doubts, standing.trusted)


def _hindrances(problem: Problem, standing: Standing, now: datetime) -> list[str]:
    rules, found = problem.retraining, []
    held_out = int(standing.comparable * rules.comparison_fraction)
    if held_out < rules.minimum_comparison_rows:
        found.append(
            f"{standing.comparable:,} labelled predictions leave {held_out:,} to compare with the champion; "
            f"{rules.minimum_comparison_rows:,} are needed"
        )
    if standing.last_run_at and now - standing.last_run_at < timedelta(days=rules.cooldown_days):
        found.append(
            f"the last run ended on {standing.last_run_at:%Y-%m-%d at %H:%M} UTC; "
            f"{rules.cooldown_days:g} days lie between two"
        )
    if standing.asked_at and now - standing.asked_at < timedelta(days=rules.cooldown_days):
        found.append(
            f"a training was asked for on {standing.asked_at:%Y-%m-%d at %H:%M} UTC; "
            f"{rules.cooldown_days:g} days lie between two"
        )
    return found
