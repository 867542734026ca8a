"""Set a ledger right again after a key was stolen, or its end was lost: by name, with a reason, on record.

What a revoked key signed too late is decided entry by entry. What stands is signed again, now, by whoever decides; it
counts from then on as theirs, so a release that the revoked key alone vouched for gains nothing. Approvals and
deployments are never signed again: whoever may approves anew, and `pulumi up` deploys anew.
"""

from collections.abc import Collection
from typing import Final

from ml.errors import InputRefused
from ml.release.stage import Stage
from ml.trust.entry import Entry
from ml.trust.keys import Signer
from ml.trust.witness import Head

__all__ = ["MAY_STAND", "reseat", "undecided"]

MAY_STAND: Final = ("registered", "promoted", "gated", "retired", "erased")
AGAIN: Final = "signed_again"  # the detail that names the entry


def undecided(stage: Stage) -> tuple[list[Head], tuple[Entry, ...]]:
    """The heads that the ledger has lost, and the entries of revoked keys that nobody has decided."""
    return stage.ledger.compared()[1], stage.ledger.void()


def reseat(
    stage: Stage, stands: Collection[int], falls: Collection[int], reason: str, signer: Signer, *, accept_loss: bool
) -> list[Entry]:
    """Decide everything that is undecided: the entries that were written. InputRefused, and nothing is, for less.

    Can be run again after a kill: what was signed again before is not signed twice.
    """
    if signer.public.is_machine:
        raise InputRefused(f"{signer.name} is a machine's key, and this is for a person to decide.")
    lost, void = undecided(stage)
    if not lost and not void:
        raise InputRefused(f"The ledger of {stage.stack} is whole: there is nothing to decide.")
    _require_decided(void, set(stands), set(falls))
    if lost and not accept_loss:
        raise InputRefused(
            f"Entry {lost[0].sequence}, which {lost[0].said_by} knows, is gone. Restore it. Only what can't be brought "
            "back is given up, with --accept-loss."
        )
    written: list[Entry] = []
    if lost:
        written.append(stage.ledger.reseat(signer, {"reason": reason, "lost": [str(head) for head in lost]}))
        if stage.ledger.compared()[1]:
            return written  # others have to say so too
    written += [_again(stage, entry, signer) for entry in void if entry.sequence in stands]
    if void:
        written.append(stage.ledger.reseat(signer, {"reason": reason, "void": [str(entry.head) for entry in void]}))
    stage.seal(lost)
    return written


def _require_decided(void: Collection[Entry], stands: Collection[int], falls: Collection[int]) -> None:
    decidable = {entry.sequence for entry in void if entry.event in MAY_STAND}
    falling = {entry.sequence for entry in void} - decidable
    if wrong := sorted((set(stands) - decidable) | (set(falls) - decidable - falling)):
        why = "an approval or a deployment is given anew, never signed again" if wrong[0] in falling else (
            "it is not among those that a revoked key signed too late"
        )  # fmt: skip
        raise InputRefused(f"Entry {wrong[0]} can't be decided so: {why}.")
    if twice := sorted(set(stands) & set(falls)):
        raise InputRefused(f"Entry {twice[0]} can't both stand and fall.")
    if missing := sorted(decidable - set(stands) - set(falls)):
        said = "; ".join(_described(entry) for entry in void if entry.sequence in missing)
        raise InputRefused(f"Say of each whether it stands (--stands N) or falls (--falls N): {said}.")


def _described(entry: Entry) -> str:
    what = f" {entry.release[:19]}…" if entry.release else ""
    return f"entry {entry.sequence}, {entry.event}{what}, signed by {entry.actor} on {entry.at:%Y-%m-%d %H:%M} UTC"


def _again(stage: Stage, entry: Entry, signer: Signer) -> Entry:
    """What an entry says, signed by another; the one that says it already, where a kill came after it."""
    said = str(entry.head)
    for before in stage.ledger.entries():
        if before.details.get(AGAIN) == said and before.event == entry.event:
            return before
    return stage.append(entry.event, signer, entry.release, entry.details | {AGAIN: said})
