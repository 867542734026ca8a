"""May this release be deployed in this environment? The one answer, for every command and for `pulumi up`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ml.errors import ReleaseRefused
from ml.release.bundle import verify
from ml.release.history import approvals, arrival, evidence, expiry, first_known, last, passing_gate, retirement
from ml.release.keys import PublicKey, TrustedKeys
from ml.release.ledger import Entry, Ledger, signed_by
from ml.release.manifest import Manifest
from ml.release.people import is_same_person
from ml.release.signing import verify_signature
from ml.store import Store

__all__ = [
    "PREVIOUS",
    "Rules",
    "SoundRelease",
    "require_deployable",
    "require_independent",
    "require_not_retired",
    "require_sound",
    "require_vouched",
]

PREVIOUS: Final[Mapping[str, str | None]] = {"dev": None, "test": "dev", "prod": "test"}  # where a release comes from


@dataclass(frozen=True)
class Rules:
    """What an environment demands: evidence of the environment before (None: it is the first), and approvals."""

    environment: str
    previous: str | None
    approvals_required: int


@dataclass(frozen=True)
class SoundRelease:
    """A release whose bytes, signature and gates hold."""

    digest: str
    manifest: Manifest
    author: PublicKey


def require_deployable(store: Store, ledger: Ledger, digest: str, rules: Rules, now: datetime) -> Manifest:
    """The manifest of a release that may serve; ReleaseRefused gives the cause and the remedy."""
    release = require_sound(store, digest, ledger.trusted, now)
    entries = ledger.entries()
    require_vouched(entries, digest, release.author)
    require_not_retired(entries, digest, ledger.stack)
    _require_evidence(entries, digest, rules, ledger)
    _require_approvals(entries, release, rules, ledger.stack, now)
    return release.manifest


def require_sound(store: Store, digest: str, trusted: TrustedKeys, now: datetime) -> SoundRelease:
    """Every byte is what the manifest says, someone whose signature counts signed it, and its gates let it pass."""
    manifest = verify(store, digest)
    author = verify_signature(store, digest, trusted)
    failed = [gate.name for gate in manifest.gates if gate.result == "failed"]
    if failed or not manifest.gates:
        raise ReleaseRefused(
            f"The release {digest} did not pass its gates: {', '.join(failed) or 'it has none'}. "
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
    """ReleaseRefused when the approver is the author: neither the same name nor the same key may be both."""
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


def _require_approvals(
    entries: Sequence[Entry], release: SoundRelease, rules: Rules, stack: str, now: datetime
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
    if any(_independent(approvals(entries, digest, at), release) >= rules.approvals_required for at in moments):
        return
    remedy = f"Have somebody other than the author run `mlops approve --stack {stack} --release {digest}`."
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
