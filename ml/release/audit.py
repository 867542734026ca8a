"""Verify environments: every link of a ledger, every byte and signature of its releases, its pin, and whether
what one ledger says agrees with what serves, with the evidence that others hold, and with what was seen of it before.

The last three show what no chain shows by itself, that its newest entries were cut off.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from ml.bundle.bundle import MANIFEST_FILE, verify
from ml.edge import told
from ml.endpoint.observed import observe
from ml.errors import MlopsError
from ml.release.allowed import require_allowed
from ml.release.policy import require_vouched
from ml.release.stackfile import challenger, pinned
from ml.release.stage import Stage
from ml.runtime import Runtime
from ml.trust.entry import Entry, is_signed, listed, signed_by
from ml.trust.history import arrival, retirement, serving
from ml.trust.ledger import LedgerBroken
from ml.trust.signing import verify_signature

__all__ = ["Finding", "audit"]

BUNDLES = "bundles/sha256"

_AllEntries = Mapping[str, tuple[Entry, ...] | LedgerBroken]  # the chains, by stack


@dataclass(frozen=True)
class Finding:
    """One thing that was verified; `note` says what was found, or what is wrong."""

    stack: str
    subject: str
    holds: bool
    note: str


def audit(*stages: Stage, asks: bool = True) -> list[Finding]:
    """Verify everything; nothing is left out because something else is broken. `asks` is of the endpoints as well."""
    entries = {stage.stack: _entries(stage) for stage in stages}
    return [
        Finding(stage.stack, *found)
        for stage in stages
        for found in (*_ledger(stage, entries, asks), *_bundles(stage, entries[stage.stack]), *_pin(stage))
    ]


def _entries(stage: Stage) -> tuple[Entry, ...] | LedgerBroken:
    try:
        return stage.ledger.chain()
    except LedgerBroken as error:
        return error


def _ledger(stage: Stage, all_entries: _AllEntries, asks: bool) -> Iterator[tuple[str, bool, str]]:
    entries = all_entries[stage.stack]
    if isinstance(entries, LedgerBroken):
        yield "ledger", False, str(entries)
        return
    people = ", ".join(sorted({e.actor for e in entries})) or "nobody"
    yield "ledger", True, f"{len(entries)} entries in one chain, signed by {people}"
    yield _past(stage)
    yield from _revoked(stage, entries)
    yield from _deployments(stage, entries)
    for entry in entries:
        if entry.event == "promoted" and signed_by(entry, stage.trusted):
            yield _evidence(stage, entry, all_entries, stage.ledger.counting(entries))
    if stage.serves is not None:
        said = serving(entries)
        recorded = said.release if said else None
        note = "as its ledger says" if recorded == stage.serves else f"but its ledger says {recorded or 'nothing'}"
        yield "deployed", recorded == stage.serves, f"`pulumi up` left {stage.serves}, {note}"
        if asks and stage.runtime and stage.runtime.endpoint_url:
            yield from _endpoint(stage, stage.runtime, recorded)


def _endpoint(stage: Stage, runtime: Runtime, recorded: str | None) -> Iterator[tuple[str, bool, str]]:
    """What answers people now is what was deployed, or the challenger beside it, and may serve here."""
    try:
        observed = observe(runtime)
    except MlopsError as error:
        yield "endpoint", False, f"what serves isn't known: {error}"
        return
    if observed.champion is None:
        yield "endpoint", False, "it has loaded no release"
        return
    answering = (observed.champion, *observed.challengers)
    expected = {recorded, challenger(stage.file)}
    for release in answering:
        try:
            require_allowed(stage.store, stage.ledger, stage.rules, release)
        except MlopsError as error:
            yield "endpoint", False, f"serves what may not serve: {error}"
            continue
        note = "as its ledger and its stack's file say"
        is_expected = release in expected and recorded in answering
        yield "endpoint", is_expected, f"serves {release}, {note if is_expected else f'but {recorded} was deployed'}"


def _past(stage: Stage) -> tuple[str, bool, str]:
    """Whatever was seen of the ledger before, here or elsewhere, is still in it."""
    known = stage.ledger.known()
    try:
        stage.ledger.entries()
    except LedgerBroken as error:
        return "ledger's past", False, str(error)
    if not known:
        return "ledger's past", True, "nothing within reach has seen it before: there is nothing to compare with yet"
    said = " and ".join(f"entry {head.sequence} as {head.said_by.rstrip(',')} knows it" for head in known)
    return "ledger's past", True, f"goes on from {said}"


def _revoked(stage: Stage, chain: tuple[Entry, ...]) -> Iterator[tuple[str, bool, str]]:
    """What keys signed after they were revoked waits for a decision; what was decided is on record."""
    for entry in stage.ledger.void():
        yield f"entry {entry.sequence}", False, (
            f"{entry.event}, signed by {entry.actor} after that key was revoked: it lets nothing go on. "
            f"`mlops ledger reseat --stack {stage.stack}` decides it"
        )  # fmt: skip
    for entry in chain:
        if entry.event == "reseated" and signed_by(entry, stage.trusted):
            decided = [f"entry {said.partition(' ')[0]}" for said in listed(entry, "void")]
            lost = [f"the loss of entry {said.partition(' ')[0]}" for said in listed(entry, "lost")]
            what = ", ".join((*decided, *lost))
            yield f"entry {entry.sequence}", True, f"{entry.actor} decided {what}: {entry.details.get('reason')}"


def _deployments(stage: Stage, entries: tuple[Entry, ...]) -> Iterator[tuple[str, bool, str]]:
    """Nothing was deployed that had not passed the checks, or was retired: a preview would have refused it."""
    deployed = [entry for entry in entries if entry.event == "deployed" and signed_by(entry, stage.trusted)]
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


def _evidence(
    stage: Stage, came: Entry, all_entries: _AllEntries, counting: tuple[Entry, ...]
) -> tuple[str, bool, str]:
    """What came with a promoted release is an entry that its own environment signed, about that release, and has.

    The key that signed it may have been revoked since only where the release came again, or is retired.
    """
    subject = f"evidence of entry {came.sequence}"
    try:
        evidence = Entry.model_validate(came.details.get("evidence"))
    except ValidationError:
        return subject, False, "it is no ledger entry"
    release = str(came.release)
    is_in_use = arrival(counting, release) == came and not retirement(counting, release)
    is_believed = signed_by(evidence, stage.trusted) or (not is_in_use and is_signed(evidence, stage.trusted))
    holds = is_believed and evidence.digest == came.details.get("digest") and evidence.release == came.release
    note = f"entry {evidence.sequence} of {evidence.stack}, signed by {evidence.actor}"
    source = all_entries.get(evidence.stack)
    if holds and isinstance(source, tuple) and evidence not in source[evidence.sequence - 1 : evidence.sequence]:
        return subject, False, f"{note}, which that ledger does not have: it was cut off, or begun anew"
    return subject, holds, note


def _bundles(stage: Stage, entries: tuple[Entry, ...] | LedgerBroken) -> Iterator[tuple[str, bool, str]]:
    """Every bundle with a manifest (files without one are a copy that was cut short, which nothing reads), and every
    one that the ledger knows; only of a retired release it may be gone."""
    known_entries = stage.ledger.counting(entries) if isinstance(entries, tuple) else ()
    came = {e.release for e in known_entries if e.release and e.event in ("registered", "promoted")}
    known = {release for release in came if not retirement(known_entries, release)}
    for digest in sorted(known | set(_in_store(stage))):
        try:
            files = verify(stage.store, digest).files
            author = verify_signature(stage.store, digest, stage.trusted)
            if not retirement(known_entries, digest):  # that goes nowhere any more, whoever signed it
                require_vouched(known_entries, digest, author)
        except MlopsError as error:
            yield digest, False, str(error)
        except OSError as error:  # a folder or a link where a file should be: the others are verified all the same
            yield digest, False, told(error) or str(error)
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
