"""May this release be deployed in this environment? The one answer, for every command and for `pulumi up`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ml.bundle.bundle import verify
from ml.bundle.gate_table import result_of
from ml.bundle.manifest import Manifest
from ml.errors import ReleaseRefused
from ml.problem import Problem
from ml.release.in_force import code_objection, judged_here, objections
from ml.store import Store
from ml.trust.entry import is_a_persons
from ml.trust.history import (
    approvals,
    arrival,
    code_waived_until,
    evidence,
    expiry,
    first_known,
    last,
    passing_gate,
    retirement,
    waivers_that_are_over,
)
from ml.trust.keys import PublicKey, TrustedKeys
from ml.trust.ledger import Entry, Ledger, signed_by
from ml.trust.people import is_same_person
from ml.trust.signing import verify_signature

__all__ = [
    "PREVIOUS",
    "Rules",
    "SoundRelease",
    "require_deployable",
    "require_independent",
    "require_not_retired",
    "require_proven",
    "require_sound",
    "require_vouched",
]

PREVIOUS: Final[Mapping[str, str | None]] = {"dev": None, "test": "dev", "prod": "test"}  # where a release comes from


@dataclass(frozen=True)
class Rules:
    """What an environment demands: evidence of the environment before (None: it is the first), approvals, and the
    gates of a problem definition, which is that of the checkout that asks."""

    environment: str
    previous: str | None
    approvals_required: int
    problem: Problem


@dataclass(frozen=True)
class SoundRelease:
    """A release whose bytes, signature and gates hold."""

    digest: str
    manifest: Manifest
    author: PublicKey


def require_deployable(store: Store, ledger: Ledger, digest: str, rules: Rules, now: datetime) -> Manifest:
    """The manifest of a release that may serve; ReleaseRefused gives the cause and the remedy."""
    release = require_proven(store, ledger, digest, rules, now)
    _require_approvals(ledger.entries(), release, rules, ledger, now)
    return release.manifest


def require_proven(store: Store, ledger: Ledger, digest: str, rules: Rules, now: datetime) -> SoundRelease:
    """All that a release needs to be deployed but approvals; ReleaseRefused gives the cause and the remedy.

    What was deployed here before was judged by the gates of then: it may stay, and be rolled back to, when they are
    tightened.
    """
    release = require_sound(store, digest, ledger.trusted, now)
    entries = ledger.entries()
    require_vouched(entries, digest, release.author)
    require_not_retired(entries, digest, ledger.stack)
    _require_evidence(entries, digest, rules, ledger)
    if last(entries, digest, "deployed") is None:
        _require_gates_in_force(release, rules, now)
        if rules.previous is not None:
            _require_reviewed_code(entries, release, now)
        _require_standing_waivers(entries, release, ledger.stack, now)
    return release


def require_sound(store: Store, digest: str, trusted: TrustedKeys, now: datetime) -> SoundRelease:
    """Every byte is what the manifest says, someone whose signature counts signed it, and its gates let it pass."""
    manifest = verify(store, digest)
    author = verify_signature(store, digest, trusted)
    if not manifest.passed:
        refusing = [f"{gate.name} {result_of(gate)}" for gate in manifest.gates if not gate.lets_pass]
        raise ReleaseRefused(
            f"The release {digest} did not pass its gates: {'; '.join(refusing) or 'it has none'}. "
            "Pin a release that did, or train a better one."
        )
    expired = [
        g for g in manifest.gates if g.result == "waived" and (g.waiver_expires is None or g.waiver_expires < now)
    ]
    if expired:
        dates = ", ".join(f"{g.name} ({g.waiver_expires:%Y-%m-%d})" for g in expired)
        raise ReleaseRefused(
            f"The release {digest} passed with a waiver that has expired: {dates}. "
            "Train again, so that the gate is judged anew, or pin another release."
        )
    return SoundRelease(digest, manifest, author)


def require_vouched(entries: Sequence[Entry], digest: str, author: PublicKey) -> None:
    """ReleaseRefused for a release that its author may have signed after their key was revoked."""
    known = first_known(entries, digest)
    if author.revoked and (known is None or not author.counts_at(known)):
        raise ReleaseRefused(
            f"The release {digest} is signed with the key of {author.name}, which was revoked on "
            f"{author.revoked.at:%Y-%m-%d} ({author.revoked.reason}), and nothing shows that it was made before. "
            "Have somebody else run `mlops release` again, or pin another release."
        )


def require_not_retired(entries: Sequence[Entry], digest: str, stack: str) -> None:
    """ReleaseRefused for a release that was retired in this environment."""
    if retired := retirement(entries, digest):
        raise ReleaseRefused(
            f"The release {digest} was retired in {stack} on {retired.at:%Y-%m-%d} by {retired.actor}: "
            f"{retired.details.get('reason')}. A retired release does not come back; pin another."
        )


def require_independent(release: SoundRelease, approver: PublicKey) -> None:
    """ReleaseRefused when the approver is the author, by name or by key, or no person."""
    if approver.is_machine:
        raise ReleaseRefused(f"{approver.name} is a machine's key, which approves nothing. Have a person approve it.")
    if _made(release, approver.name) or approver.fingerprint == release.author.fingerprint:
        raise ReleaseRefused(
            f"{approver.name} made the release {release.digest} and can't approve it. "
            "Have somebody else run `mlops approve`."
        )


def _require_evidence(entries: Sequence[Entry], digest: str, rules: Rules, ledger: Ledger) -> None:
    """This environment's own checks passed and, where there is an environment before, that one's did too."""
    if rules.previous is not None:
        came = arrival(entries, digest)
        promote = f"Run `mlops promote` from the {rules.previous} stack to {ledger.stack}."
        if came is None:
            raise ReleaseRefused(
                f"There is no evidence that the release {digest} passed in {rules.previous}: it was never promoted "
                f"to {ledger.stack}. {promote}"
            )
        proof = evidence(came)
        if proof is None:
            raise ReleaseRefused(f"The evidence that came with the release {digest} can't be read. {promote}")
        if proof.environment != rules.previous:
            raise ReleaseRefused(
                f"The release {digest} came to {ledger.stack} with evidence of {proof.stack} "
                f"({proof.environment}), but {rules.environment} demands that of {rules.previous}. {promote}"
            )
        if not (passing_gate([proof], digest) and signed_by(proof, ledger.trusted)):
            raise ReleaseRefused(
                f"The evidence that came with the release {digest} does not say that it passed in {rules.previous}, "
                f"or nobody whose signature counts signed it. {promote}"
            )
    if passing_gate(entries, digest) is None:
        remedy = "`mlops release`" if rules.previous is None else "`mlops promote`"
        raise ReleaseRefused(
            f"There is no evidence that the release {digest} passed the checks of {ledger.stack}: its ledger has no "
            f"passing entry. Run {remedy} again."
        )


def _require_gates_in_force(release: SoundRelease, rules: Rules, now: datetime) -> None:
    """The figures of the manifest pass the gates of this checkout, not only those that its author had."""
    if refusing := objections(judged_here(rules.problem, release.manifest, now.date())):
        raise ReleaseRefused(
            f"The release {release.digest} passed its author's gates, but not those of the problem definition here:\n"
            f"{refusing}\nTrain a better one, or have the definition changed or a waiver added where it is reviewed."
        )


def _require_reviewed_code(entries: Sequence[Entry], release: SoundRelease, now: datetime) -> None:
    """A commit holds the code that made it, or the promotion to this environment says why it may go on, until when."""
    objection = code_objection(release.manifest)
    if objection is None or ((until := code_waived_until(entries, release.digest)) is not None and now <= until):
        return
    said = f", and the waiver of that expired on {until:%Y-%m-%d}" if until is not None else ""
    raise ReleaseRefused(
        f"The release {release.digest} can't be reviewed: {objection}{said}. Commit, train and release again, or run "
        "`mlops promote` with --waive-modified-code and --until."
    )


def _require_standing_waivers(entries: Sequence[Entry], release: SoundRelease, stack: str, now: datetime) -> None:
    """None of the checks that the release passed here was waived until a moment that is over."""
    if over := waivers_that_are_over(entries, release.digest, now):
        said = ", ".join(f"{name} ({until:%Y-%m-%d})" if until else f"{name} (no end)" for name, until in over.items())
        raise ReleaseRefused(
            f"The release {release.digest} passed the checks of {stack} with a waiver that has expired: {said}. "
            "Run `mlops promote` again, so that the check is judged anew."
        )


def _require_approvals(
    entries: Sequence[Entry], release: SoundRelease, rules: Rules, ledger: Ledger, now: datetime
) -> None:
    """Enough people other than the author approved, in time: an approval must be used before it expires.

    A release that was deployed under a valid approval may stay, and be rolled back to, when the approval has expired:
    what runs in PROD must not become undeployable by the calendar.
    """
    if rules.approvals_required == 0:
        return
    digest = release.digest
    first = next((e for e in entries if e.event == "deployed" and e.release == digest), None)
    moments = [now, first.at] if first else [now]
    given = [[e for e in approvals(entries, digest, at) if is_a_persons(e, ledger.trusted)] for at in moments]
    if any(_independent(each, release) >= rules.approvals_required for each in given):
        return
    remedy = f"Have somebody other than the author run `mlops approve --stack {ledger.stack} --release {digest}`."
    if latest := last(entries, digest, "approved"):
        if expiry(latest) <= now:
            raise ReleaseRefused(
                f"The approval of the release {digest} by {latest.actor} expired on {expiry(latest):%Y-%m-%d}. {remedy}"
            )
        raise ReleaseRefused(
            f"The release {digest} has too few approvals for {rules.environment}: {rules.approvals_required} by people "
            f"other than its author {release.author.name}; the last is by {latest.actor}. {remedy}"
        )
    raise ReleaseRefused(f"The release {digest} is not approved for {rules.environment}. {remedy}")


def _independent(given: Sequence[Entry], release: SoundRelease) -> int:
    """How many different people, none of them the author, gave these approvals."""
    return len({e.key for e in given if not _made(release, e.actor) and e.key != release.author.fingerprint})


def _made(release: SoundRelease, person: str) -> bool:
    """Whether a release may be somebody's own: they signed it, or the manifest says that they made it."""
    return any(is_same_person(person, author) for author in (release.author.name, release.manifest.created_by))
