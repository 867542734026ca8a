"""Take a release out of use for good."""

from ml.bundle.bundle import read_manifest
from ml.errors import InputRefused
from ml.release.stackfile import pinned
from ml.release.stage import Stage
from ml.trust.history import retirement
from ml.trust.keys import Signer
from ml.trust.ledger import Entry

__all__ = ["retire"]


def retire(stage: Stage, digest: str, reason: str, signer: Signer) -> Entry:
    """Record that a release is never to be promoted, pinned or approved again; InputRefused while it is pinned."""
    read_manifest(stage.store, digest)
    if pinned(stage.file) == digest:
        raise InputRefused(
            f"{stage.stack} pins the release {digest}. Run `mlops rollback --stack {stage.stack}` and `pulumi up` "
            "first, then retire it."
        )
    return retirement(stage.ledger.entries(), digest) or stage.append("retired", signer, digest, {"reason": reason})
