"""What a ledger's entries add up to: what serves, what served before, what passed, what is retired."""

from collections.abc import Sequence
from datetime import datetime

from ml.release.ledger import Entry

__all__ = [
    "approvals",
    "arrival",
    "deployments",
    "evidence",
    "expiry",
    "first_known",
    "last",
    "passing_gate",
    "retirement",
    "serving",
]


def last(entries: Sequence[Entry], release: str, *events: str) -> Entry | None:
    """The newest entry about a release that is one of `events`."""
    return next((e for e in reversed(entries) if e.release == release and e.event in events), None)


def passing_gate(entries: Sequence[Entry], release: str) -> Entry | None:
    """The newest result of the environment's checks of a release, None unless it passed."""
    gate = last(entries, release, "gated")
    return gate if gate and gate.details.get("passed") is True else None


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
    try:
        expires = datetime.fromisoformat(str(approval.details.get("expires_at")))
    except ValueError:
        return approval.at
    return expires if expires.tzinfo else approval.at
