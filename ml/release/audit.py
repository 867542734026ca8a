"""Verify environments offline: every link of a ledger, every byte and signature of its releases, its pin, and whether
what one ledger says agrees with what serves and with the evidence that others hold.

The last two show what no chain shows by itself, that its newest entries were cut off; and so does what this machine saw
of a ledger before.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from ml.errors import MlopsError
from ml.release import witness
from ml.release.bundle import MANIFEST_FILE, verify
from ml.release.history import retirement, serving
from ml.release.ledger import Entry, LedgerBroken, signed_by
from ml.release.policy import require_vouched
from ml.release.signing import verify_signature
from ml.release.stackfile import pinned
from ml.release.stage import Stage

__all__ = ["Finding", "audit"]

BUNDLES = "bundles/sha256"

_AllEntries = Mapping[str, tuple[Entry, ...] | LedgerBroken]  # by stack


@dataclass(frozen=True)
class Finding:
    """One thing that was verified; `note` says what was found, or what is wrong."""

    stack: str
    subject: str
    holds: bool
    note: str


def audit(*stages: Stage) -> list[Finding]:
    """Verify everything; nothing is left out because something else is broken."""
    entries = {stage.stack: _entries(stage) for stage in stages}
    return [
        Finding(stage.stack, *found)
        for stage in stages
        for found in (*_ledger(stage, entries), *_bundles(stage, entries[stage.stack]), *_pin(stage))
    ]


def _entries(stage: Stage) -> tuple[Entry, ...] | LedgerBroken:
    try:
        return stage.ledger.entries()
    except LedgerBroken as error:
        return error


def _ledger(stage: Stage, all_entries: _AllEntries) -> Iterator[tuple[str, bool, str]]:
    entries = all_entries[stage.stack]
    if isinstance(entries, LedgerBroken):
        yield "ledger", False, str(entries)
        return
    people = ", ".join(sorted({e.actor for e in entries})) or "nobody"
    yield "ledger", True, f"{len(entries)} entries in one chain, signed by {people}"
    yield _past(stage, entries)
    yield from _deployments(entries)
    for entry in entries:
        if entry.event == "promoted":
            yield _evidence(stage, entry, all_entries)
    if stage.serves is not None:
        said = serving(entries)
        recorded = said.release if said else None
        note = "as its ledger says" if recorded == stage.serves else f"but its ledger says {recorded or 'nothing'}"
        yield "endpoint", recorded == stage.serves, f"serves {stage.serves}, {note}"


def _past(stage: Stage, entries: tuple[Entry, ...]) -> tuple[str, bool, str]:
    """The newest entry that this machine has seen before is still there; then the newest now is remembered."""
    before = witness.look(stage.store.uri, stage.stack)
    if before and not before.is_still_in(entries):
        return "ledger's past", False, (
            f"entry {before.sequence}, seen from here on {before.at:%Y-%m-%d %H:%M} UTC, is not in it any more: it was "
            "cut off, or begun anew. If the store was emptied on purpose, delete "
            f"{witness.note(stage.store.uri, stage.stack)}"
        )  # fmt: skip
    if entries:
        witness.see(stage.store.uri, stage.stack, entries[-1])
    if before is None:
        return "ledger's past", True, "looked at from here for the first time: nothing to compare with yet"
    return "ledger's past", True, f"goes on from entry {before.sequence}, seen here on {before.at:%Y-%m-%d %H:%M} UTC"


def _deployments(entries: tuple[Entry, ...]) -> Iterator[tuple[str, bool, str]]:
    """Nothing was deployed that had not passed the checks, or was retired: a preview would have refused it."""
    deployed = [entry for entry in entries if entry.event == "deployed"]
    wrong = [entry for entry in deployed if not _was_allowed(entry, entries[: entry.sequence - 1])]
    for entry in wrong:
        yield (
            "deployments",
            False,
            f"entry {entry.sequence} deployed {entry.release}, which had not passed, or was retired",
        )
    if deployed and not wrong:
        yield "deployments", True, f"{len(deployed)}, each of a release that had passed the checks here"


def _was_allowed(deployed: Entry, before: tuple[Entry, ...]) -> bool:
    own = [entry for entry in before if entry.release == deployed.release]
    passed = any(entry.event == "gated" and entry.details.get("passed") is True for entry in own)
    return passed and not any(entry.event == "retired" for entry in own)


def _evidence(stage: Stage, arrival: Entry, all_entries: _AllEntries) -> tuple[str, bool, str]:
    """What came with a promoted release is an entry that its own environment signed, about that release, and has."""
    subject = f"evidence of entry {arrival.sequence}"
    try:
        evidence = Entry.model_validate(arrival.details.get("evidence"))
    except ValidationError:
        return subject, False, "it is no ledger entry"
    holds = (
        signed_by(evidence, stage.trusted)
        and evidence.digest == arrival.details.get("digest")
        and evidence.release == arrival.release
    )
    note = f"entry {evidence.sequence} of {evidence.stack}, signed by {evidence.actor}"
    source = all_entries.get(evidence.stack)
    if holds and isinstance(source, tuple) and evidence not in source[evidence.sequence - 1 : evidence.sequence]:
        return subject, False, f"{note}, which that ledger does not have: it was cut off, or begun anew"
    return subject, holds, note


def _bundles(stage: Stage, entries: tuple[Entry, ...] | LedgerBroken) -> Iterator[tuple[str, bool, str]]:
    """Every bundle with a manifest (files without one are a copy that was cut short, which nothing reads), and every
    one that the ledger knows; only of a retired release it may be gone."""
    known_entries = entries if isinstance(entries, tuple) else ()
    came = {e.release for e in known_entries if e.release and e.event in ("registered", "promoted")}
    known = {release for release in came if not retirement(known_entries, release)}
    for digest in sorted(known | set(_in_store(stage))):
        try:
            files = verify(stage.store, digest).files
            author = verify_signature(stage.store, digest, stage.trusted)
            require_vouched(known_entries, digest, author)
        except MlopsError as error:
            yield digest, False, str(error)
        else:
            yield digest, True, f"{len(files)} files as its manifest says, signed by {author.name}"


def _in_store(stage: Stage) -> Iterator[str]:
    for key in stage.store.list(BUNDLES):
        folder, _, name = key.removeprefix(f"{BUNDLES}/").partition("/")
        if name == MANIFEST_FILE:
            yield f"sha256:{folder}"


def _pin(stage: Stage) -> Iterator[tuple[str, bool, str]]:
    digest = pinned(stage.file)
    if digest is None:
        return
    is_there = stage.store.exists(f"{BUNDLES}/{digest.removeprefix('sha256:')}/{MANIFEST_FILE}")
    yield "pin", is_there, f"{digest} is {'' if is_there else 'not '}in the store"
    try:
        retired = retirement(stage.ledger.entries(), digest)
    except LedgerBroken:
        return  # said above
    if retired:
        yield "pin", False, f"{digest} was retired on {retired.at:%Y-%m-%d}"
