"""Go back to a release that served before: pin it, and say so in the ledger."""

from collections.abc import Sequence
from datetime import UTC, datetime

from ml.errors import InputRefused
from ml.release.history import deployments, retirement
from ml.release.keys import Signer
from ml.release.ledger import Entry
from ml.release.policy import require_not_retired, require_sound, require_vouched
from ml.release.stackfile import pin, pinned
from ml.release.stage import Stage

__all__ = ["roll_back"]


def roll_back(stage: Stage, to: str | None, signer: Signer) -> str:
    """Pin the release that was deployed before the pinned one, or `to`; the digest that is pinned now.

    InputRefused when there is none, ReleaseRefused when it isn't whole any more.
    """
    entries = stage.ledger.entries()
    now = pinned(stage.file)
    target = to or _before(entries, now, stage.stack)
    if not any(e.event == "deployed" and e.release == target for e in entries):
        raise InputRefused(
            f"{stage.stack} has never served {target}. Roll back to a release that `mlops releases` shows as served, "
            "or promote this one."
        )
    require_not_retired(entries, target, stage.stack)
    release = require_sound(stage.store, target, stage.trusted, datetime.now(UTC))
    require_vouched(entries, target, release.author)
    if target != now:
        stage.ledger.append("rolled_back", signer, target, {"from": now})
        pin(stage.file, target)
    return target


def _before(entries: Sequence[Entry], now: str | None, stack: str) -> str:
    """The newest release that served, apart from the pinned one, what came after it, and what is retired."""
    served = deployments(entries)
    earlier = served[: served.index(now)] if now in served else served
    usable = [release for release in earlier if not retirement(entries, release)]
    if not usable:
        raise InputRefused(f"No release served in {stack} before the pinned one, so there is nothing to go back to.")
    return usable[-1]
