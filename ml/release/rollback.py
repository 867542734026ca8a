"""Go back to a release that served before: pin it, and say so in the ledger."""

from collections.abc import Iterator
from datetime import UTC, datetime

from ml.errors import InputRefused, ReleaseRefused
from ml.release.policy import require_deployable
from ml.release.stackfile import pin, pinned
from ml.release.stage import Stage
from ml.trust.history import deployments
from ml.trust.keys import Signer

__all__ = ["roll_back"]


def roll_back(stage: Stage, to: str | None, signer: Signer) -> str:
    """Pin the release that was deployed before the pinned one and may still be, or `to`; the digest that is pinned now.

    InputRefused when there is none, ReleaseRefused when `pulumi up` would refuse it.
    """
    now = pinned(stage.file)
    target = _newest_usable(stage, now) if to is None else _served(stage, to)
    if target != now:
        stage.append("rolled_back", signer, target, {"from": now})
        pin(stage.file, target)
    return target


def _served(stage: Stage, release: str) -> str:
    stage.ledger.entries()  # one that has lost its end is believed in nothing
    if not any(e.event == "deployed" and e.release == release for e in stage.ledger.chain()):
        raise InputRefused(
            f"{stage.stack} has never served {release}. Roll back to a release that `mlops releases` shows as served, "
            "or promote this one."
        )
    _require(stage, release)
    return release


def _newest_usable(stage: Stage, now: str | None) -> str:
    """The newest release that served and may be deployed, apart from the pinned one and what came after it."""
    refused: ReleaseRefused | None = None
    for release in _before(stage, now):
        try:
            _require(stage, release)
        except ReleaseRefused as error:  # retired, or vouched for by a key that was revoked: the one before, then
            refused = refused or error
        else:
            return release
    why = f" The last that did: {refused}" if refused else ""
    raise InputRefused(
        f"No release that served in {stage.stack} before the pinned one can be deployed, so there is nothing to go "
        f"back to.{why}"
    )


def _before(stage: Stage, now: str | None) -> Iterator[str]:
    served = deployments(stage.ledger.entries())
    yield from reversed(served[: served.index(now)] if now in served else served)


def _require(stage: Stage, release: str) -> None:
    require_deployable(stage.store, stage.ledger, release, stage.rules, datetime.now(UTC))
