"""What a ledger's entries add up to: what serves, what served before, what passed, what is retired."""

from collections.abc import Sequence
from datetime import datetime

from ml.trust.ledger import Entry

__all__ = [
    "approvals",
    "arrival",
    "code_waived_until",
    "deployments",
    "evidence",
    "expiry",
    "first_known",
    "last",
    "passing_gate",
    "retirement",
    "serving",
    "waived_until",
    "waivers_that_are_over",
]


def last(entries: Sequence[Entry], release: str, *events: str) -> Entry | None:
    """The newest entry about a release that is one of `events`."""
    return next((e for e in reversed(entries) if e.release == release and e.event in events), None)


def passing_gate(entries: Sequence[Entry], release: str) -> Entry | None:
    """The newest result of the environment's checks of a release, None unless it passed."""
    gate = last(entries, release, "gated")
    return gate if gate and gate.details.get("passed") is True else None


def waived_until(entries: Sequence[Entry], release: str) -> dict[str, datetime | None]:
    """Which checks of a release's passing result here were waived, each until when; None for one that doesn't say."""
    gate = passing_gate(entries, release)
    checks = gate.details.get("checks") if gate else None
    return {
        str(check.get("name")): _moment(check.get("waiver_expires"))
        for check in (checks if isinstance(checks, list) else ())
        if isinstance(check, dict) and check.get("result") == "waived"
    }


def waivers_that_are_over(entries: Sequence[Entry], release: str, now: datetime) -> dict[str, datetime | None]:
    """Those of `waived_until` that count no more; one that doesn't say until when never did."""
    waived = waived_until(entries, release)
    return {name: until for name, until in waived.items() if until is None or until < now}


def code_waived_until(entries: Sequence[Entry], release: str) -> datetime | None:
    """Until when code that no commit holds is waived for a release here; None where it isn't."""
    return waived_until(entries, release).get("code")


def arrival(entries: Sequence[Entry], release: str) -> Entry | None:
    """How the release came here from the environment before."""
    return last(entries, release, "promoted")


def evidence(came: Entry) -> Entry | None:
    """The entry of the environment before that came with a release, None when it is none."""
    try:
        return Entry.model_validate(came.details.get("evidence"))
    except ValueError:
        return None


def first_known(entries: Sequence[Entry], release: str) -> datetime | None:
    """Since when the ledger, or the evidence that it holds, knows a release."""
    own = [e for e in entries if e.release == release and e.event in ("registered", "promoted")]
    brought = [brought for e in own if e.event == "promoted" and (brought := evidence(e))]
    return min((e.at for e in (*own, *brought)), default=None)


def retirement(entries: Sequence[Entry], release: str) -> Entry | None:
    """Why and when a release was retired here."""
    return last(entries, release, "retired")


def serving(entries: Sequence[Entry]) -> Entry | None:
    """The deployment that serves now."""
    newest = next((e for e in reversed(entries) if e.event in ("deployed", "undeployed")), None)
    return newest if newest and newest.event == "deployed" else None


def deployments(entries: Sequence[Entry]) -> list[str]:
    """The releases that one can go back to, the newest last: going back to one forgets what came after it."""
    stack: list[str] = []
    for release in (e.release for e in entries if e.event == "deployed"):
        if release in stack:
            del stack[stack.index(release) :]
        if release:
            stack.append(release)
    return stack


def approvals(entries: Sequence[Entry], release: str, at: datetime) -> list[Entry]:
    """The approvals of a release that were made by `at` and had not expired then."""
    return [e for e in entries if e.event == "approved" and e.release == release and e.at <= at and at < expiry(e)]


def expiry(approval: Entry) -> datetime:
    """When an approval expires; an approval that doesn't say has expired when it was made."""
    return _moment(approval.details.get("expires_at")) or approval.at


def _moment(said: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(said))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
