"""Bring a release from one environment to the next: copied, verified, checked there, recorded, pinned.

Every step looks first at what is there already, so that the command can be run again after a kill at any point:
the bundle and its signature are whole or not there, an entry of the ledger is there or not, and the pin is one write.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import JsonValue

from ml.bundle.bundle import fetch, publish, verify
from ml.errors import InputRefused, ReleaseRefused
from ml.problem import Problem
from ml.release.checks import CodeWaiver, run_checks, table
from ml.release.in_force import code_objection, judged_here
from ml.release.policy import PREVIOUS, SoundRelease, require_not_retired, require_sound, require_vouched
from ml.release.reports import bring_reports
from ml.release.stackfile import pin, pinned
from ml.release.stage import Stage
from ml.scratch import scratch_folder
from ml.trust.history import arrival, passing_gate, serving, waived_until, waivers_that_are_over
from ml.trust.keys import Signer
from ml.trust.ledger import Entry
from ml.trust.signing import copy_signature, verify_signature

__all__ = ["Promotion", "promote"]


@dataclass(frozen=True)
class Promotion:
    """A release that is pinned in the receiving stack's file; `gate` is the ledger entry that holds its checks."""

    digest: str
    replaced: str | None
    gate: Entry
    is_new: bool


def promote(
    source: Stage,
    target: Stage,
    digest: str | None,
    problem: Problem,
    signer: Signer,
    say: Callable[[str], None],
    code_waiver: CodeWaiver | None = None,
) -> Promotion:
    """Promote a release, by default the one that `source` serves; ReleaseRefused, with the old pin, when it may not.

    Its figures are judged by the gates of `problem`, this checkout's definition, whatever its author's were.
    """
    if source.stack == target.stack:
        raise InputRefused(f"{source.stack} can't be promoted to itself. Name two stacks.")
    previous = PREVIOUS.get(target.environment)
    if previous not in (None, source.environment):
        raise InputRefused(
            f"{target.stack} takes only what has passed in {previous}, and {source.stack} is {source.environment}. "
            f"Promote the release to a {previous} stack first."
        )
    digest = digest or source.serves
    if digest is None:
        raise InputRefused(f"{source.stack} serves nothing to promote. Name a release with --release.")
    known = source.ledger.entries()
    evidence = _evidence(source, known, digest)
    require_not_retired(target.ledger.entries(), digest, target.stack)
    say(f"Verifying {digest[:19]}… in {source.stack}")
    release = require_sound(source.store, digest, source.trusted, datetime.now(UTC))
    require_vouched(known, digest, release.author)
    _arrive(source, target, digest, say)
    bring_reports(source.store, target.store, release.manifest)
    _record_arrival(target, digest, evidence, signer)
    replaced = pinned(target.file)
    gate = None if code_waiver else _standing(target, release, problem)
    is_new = gate is None
    if gate is None:
        gate = _check(target, digest, problem, signer, code_waiver, say)
    if replaced != digest:
        pin(target.file, digest)
    return Promotion(digest, replaced, gate, is_new)


def _evidence(source: Stage, entries: Sequence[Entry], digest: str) -> Entry:
    """The entry which says that the release passed in the environment it comes from."""
    require_not_retired(entries, digest, source.stack)
    if evidence := passing_gate(entries, digest):
        return evidence
    raise ReleaseRefused(
        f"The ledger of {source.stack} does not say that the release {digest} passed there, so it can't go on to "
        "another environment. Release or promote it to that stack first."
    )


def _arrive(source: Stage, target: Stage, digest: str, say: Callable[[str], None]) -> None:
    """Have the release in the target's store, signature first: a bundle that is whole is never unsigned."""
    known = source.ledger.entries()
    try:
        require_vouched(known, digest, verify_signature(target.store, digest, target.trusted))
    except ReleaseRefused:
        verify_signature(source.store, digest, target.trusted)  # one that counts there, or nothing is copied
        copy_signature(source.store, target.store, digest)
    try:
        verify(target.store, digest)
    except ReleaseRefused:
        say(f"Copying it to {target.stack}")
        with scratch_folder() as folder:
            fetch(source.store, digest, folder / "bundle")
            publish(target.store, folder / "bundle")
    say(f"Verifying it in {target.stack}")
    require_sound(target.store, digest, target.trusted, datetime.now(UTC))


def _record_arrival(target: Stage, digest: str, evidence: Entry, signer: Signer) -> None:
    """The evidence is kept whole: it can be verified here, with its own signature, when its environment is gone."""
    details: dict[str, JsonValue] = {"evidence": evidence.model_dump(mode="json"), "digest": evidence.digest}
    before = arrival(target.ledger.entries(), digest)
    if before is None or before.details != details:
        target.append("promoted", signer, digest, details)


def _standing(target: Stage, release: SoundRelease, problem: Problem) -> Entry | None:
    """The checks that the release passed here before, None where they don't hold any more."""
    entries, now = target.ledger.entries(), datetime.now(UTC)
    gate = passing_gate(entries, release.digest)
    if gate is None or any(not each.lets_pass for each in judged_here(problem, release.manifest, now.date())):
        return None
    if waivers_that_are_over(entries, release.digest, now):
        return None
    return gate if code_objection(release.manifest) is None or "code" in waived_until(entries, release.digest) else None


def _check(
    target: Stage,
    digest: str,
    problem: Problem,
    signer: Signer,
    code_waiver: CodeWaiver | None,
    say: Callable[[str], None],
) -> Entry:
    """Run the receiving environment's own checks and record their result, also when it is bad."""
    replaced = serving(target.ledger.entries())
    with scratch_folder() as folder:
        manifest = fetch(target.store, digest, folder / "bundle")
        before = replaced.release if replaced else None
        checks = run_checks(folder / "bundle", manifest, problem, target.store, before, code_waiver, say)
    passed = all(check.lets_pass for check in checks)
    results: list[JsonValue] = [check.as_json() for check in checks]
    gate = target.append("gated", signer, digest, {"passed": passed, "checks": results})
    if not passed:
        raise ReleaseRefused(f"{digest} fails the checks of {target.stack}; it was not pinned.\n{table(checks)}")
    return gate
