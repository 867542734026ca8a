"""Let a release be deployed: said by somebody other than its author, who was shown what it is, for a time."""

from datetime import UTC, datetime, timedelta

from ml.problem import Problem
from ml.release.case import Case, case_of
from ml.release.policy import PREVIOUS, Rules, require_independent, require_proven
from ml.release.stage import Stage
from ml.trust.keys import PublicKey, Signer
from ml.trust.ledger import Entry

__all__ = ["approve", "open_case"]


def open_case(stage: Stage, digest: str, approver: PublicKey, problem: Problem) -> Case:
    """What `approver` decides on; ReleaseRefused for the author, and for what could not be deployed all the same."""
    now = datetime.now(UTC)
    rules = Rules(stage.environment, PREVIOUS.get(stage.environment), approvals_required=0, problem=problem)
    release = require_proven(stage.store, stage.ledger, digest, rules, now)
    require_independent(release, approver)
    return case_of(stage, release, problem, now)


def approve(stage: Stage, digest: str, expires_in_days: int, signer: Signer, problem: Problem) -> Entry:
    """Record an approval, signed by the approver; ReleaseRefused for the author, and for what nobody should approve."""
    open_case(stage, digest, signer.public, problem)
    expires_at = datetime.now(UTC) + timedelta(days=expires_in_days)
    return stage.append("approved", signer, digest, {"expires_at": expires_at.isoformat()})
