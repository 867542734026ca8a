"""What runs where since when: every release that an environment knows, from its ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import JsonValue

from ml.bundle.bundle import read_manifest
from ml.errors import ReleaseRefused
from ml.release.stackfile import pinned
from ml.release.stage import Stage
from ml.trust.history import approvals, expiry, passing_gate, retirement, serving
from ml.trust.ledger import Entry

__all__ = ["ReleaseState", "as_text", "releases", "story"]


@dataclass(frozen=True)
class ReleaseState:
    """One release in one environment; `since` is when it came to its state, `by` who brought it there."""

    stack: str
    release: str
    version: str | None
    state: Literal["serving", "served", "passed", "failed", "retired", "registered"]
    since: datetime
    by: str
    is_pinned: bool
    approved_until: datetime | None


def releases(stage: Stage) -> list[ReleaseState]:
    """The releases of an environment in the order in which they came to it."""
    entries = stage.ledger.entries()
    known = dict.fromkeys(e.release for e in entries if e.release)
    current, pin = serving(entries), pinned(stage.file)
    return [_state(stage, entries, release, current, pin) for release in known]


def story(stage: Stage, release: str) -> list[Entry]:
    """All that an environment's ledger says of a release, oldest first; also what was refused."""
    stage.ledger.entries()  # one that has lost its end is believed in nothing
    return [entry for entry in stage.ledger.chain() if entry.release == release]


def as_text(entry: Entry) -> str:
    """An entry, and a line for each check that it holds."""
    said = dict(entry.details)
    checks = said.pop("checks", [])
    evidence = said.pop("evidence", None)
    if isinstance(evidence, dict):
        said["evidence"] = f"entry {evidence.get('sequence')} of {evidence.get('stack')}"
    more = ", ".join(f"{name} {value}" for name, value in said.items())
    head = f"{entry.at:%Y-%m-%d %H:%M} UTC  {entry.stack} {entry.sequence}: {entry.event} by {entry.actor}"
    rows = [check for check in checks if isinstance(check, dict)] if isinstance(checks, list) else []
    lines = [f"  {c.get('name')!s:<34} {c.get('result')!s:<13} {_why(c)}".rstrip() for c in rows]
    return "\n".join([f"{head}{f' ({more})' if more else ''}", *lines])


def _why(check: Mapping[str, JsonValue]) -> str:
    """A check's own words; a gate's figures."""
    if note := check.get("note"):
        return str(note)
    return " ".join(str(check[name]) for name in ("measured", "demanded") if check.get(name) is not None)


def _state(
    stage: Stage, entries: tuple[Entry, ...], release: str, current: Entry | None, pin: str | None
) -> ReleaseState:
    own = [e for e in entries if e.release == release]
    state, entry = _situation(entries, own, release, current)
    approved = [expiry(e) for e in approvals(entries, release, datetime.now(UTC))]
    return ReleaseState(
        stack=stage.stack,
        release=release,
        version=_version(stage, release),
        state=state,
        since=entry.at,
        by=entry.actor,
        is_pinned=release == pin,
        approved_until=max(approved, default=None),
    )


def _situation(
    entries: tuple[Entry, ...], own: list[Entry], release: str, current: Entry | None
) -> tuple[Literal["serving", "served", "passed", "failed", "retired", "registered"], Entry]:
    """The state, and the entry that brought it about."""
    if current and current.release == release:
        return "serving", current
    if retired := retirement(entries, release):
        return "retired", retired
    if deployed := [e for e in own if e.event == "deployed"]:
        after = (e for e in entries if e.sequence > deployed[-1].sequence and e.event in ("deployed", "undeployed"))
        return "served", next(after, deployed[-1])
    if passed := passing_gate(entries, release):
        return "passed", passed
    if gates := [e for e in own if e.event == "gated"]:
        return "failed", gates[-1]
    return "registered", own[0]


def _version(stage: Stage, release: str) -> str | None:
    try:
        return read_manifest(stage.store, release).version
    except ReleaseRefused:
        return None  # `mlops verify` says what is wrong with it
