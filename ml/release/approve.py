"""Let a release be deployed: said by somebody other than its author, for a time."""

from datetime import UTC, datetime, timedelta

from ml.errors import ReleaseRefused
from ml.release.history import passing_gate
from ml.release.keys import Signer
from ml.release.ledger import Entry
from ml.release.policy import require_independent, require_not_retired, require_sound, require_vouched
from ml.release.stage import Stage

__all__ = ["approve"]


def approve(stage: Stage, digest: str, expires_in_days: int, signer: Signer) -> Entry:
    """Record an approval, signed by the approver; ReleaseRefused for the author, and for what nobody should approve."""
    entries = stage.ledger.entries()
    require_not_retired(entries, digest, stage.stack)
    release = require_sound(stage.store, digest, stage.trusted, datetime.now(UTC))
    require_vouched(entries, digest, release.author)
    require_independent(release, signer.public)
    if passing_gate(entries, digest) is None:
        raise ReleaseRefused(
            f"The release {digest} has not passed the checks of {stage.stack}; there is nothing to approve yet. "
            "Run `mlops promote` first."
        )
    expires_at = datetime.now(UTC) + timedelta(days=expires_in_days)
    return stage.ledger.append("approved", signer, digest, {"expires_at": expires_at.isoformat()})
