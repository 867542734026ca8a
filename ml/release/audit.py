"""Verify an environment offline: every link of its ledger, every byte and signature of its releases, and its pin."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from ml.errors import MlopsError
from ml.release.bundle import MANIFEST_FILE, verify
from ml.release.history import retirement
from ml.release.ledger import Entry, LedgerBroken, signed_by
from ml.release.signing import verify_signature
from ml.release.stackfile import pinned
from ml.release.stage import Stage

__all__ = ["Finding", "audit"]

BUNDLES = "bundles/sha256"


@dataclass(frozen=True)
class Finding:
    """One thing that was verified; `note` says what was found, or what is wrong."""

    stack: str
    subject: str
    holds: bool
    note: str


def audit(stage: Stage) -> list[Finding]:
    """Verify everything; nothing is left out because something else is broken."""
    return [Finding(stage.stack, *found) for found in (*_ledger(stage), *_bundles(stage), *_pin(stage))]


def _ledger(stage: Stage) -> Iterator[tuple[str, bool, str]]:
    try:
        entries = stage.ledger.entries()
    except LedgerBroken as error:
        yield "ledger", False, str(error)
        return
    people = ", ".join(sorted({e.actor for e in entries})) or "nobody"
    yield "ledger", True, f"{len(entries)} entries in one chain, signed by {people}"
    for entry in entries:
        if entry.event == "promoted":
            yield _evidence(stage, entry)


def _evidence(stage: Stage, arrival: Entry) -> tuple[str, bool, str]:
    """What came with a promoted release is an entry that its own environment signed, about that release."""
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
    return subject, holds, f"entry {evidence.sequence} of {evidence.stack}, signed by {evidence.actor}"


def _bundles(stage: Stage) -> Iterator[tuple[str, bool, str]]:
    """Every bundle with a manifest; files without one are a copy that was cut short, which nothing reads."""
    for key in stage.store.list(BUNDLES):
        folder, _, name = key.removeprefix(f"{BUNDLES}/").partition("/")
        if name != MANIFEST_FILE:
            continue
        digest = f"sha256:{folder}"
        try:
            files = verify(stage.store, digest).files
            author = verify_signature(stage.store, digest, stage.trusted)
        except MlopsError as error:
            yield digest, False, str(error)
        else:
            yield digest, True, f"{len(files)} files as its manifest says, signed by {author.name}"


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
