"""One model release onto a platform: what is pinned must be whole, signed, proven, and approved where that is asked."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from infra.config import StackConfig

__all__ = ["PinRefused", "check"]

PROJECT = Path(__file__).parents[1]


class PinRefused(Exception):
    """The pinned release must not be deployed; the message gives the cause and the remedy."""


def check(
    config: StackConfig, store_uri: str, project: Path = PROJECT, recorded: Callable[[], str | None] = lambda: None
) -> str | None:
    """The pinned release's digest, verified before anything is planned; None before the first release.

    A challenger answers people too, so it must prove the same. `recorded` is the ledger's head when the stack was last
    brought up: what stands there, or in the stack's file, and is not in the ledger any more, was taken out of it.
    """
    if config.release is None:
        return None
    from ml.errors import MlopsError
    from ml.problem import load_problem
    from ml.release.policy import Rules, require_deployable
    from ml.store import Store
    from ml.trust.keys import TrustedKeys
    from ml.trust.ledger import Ledger
    from ml.trust.witness import heads

    environment = config.environment
    file = f"stacks/Pulumi.{config.stack}.yaml"
    said = ((config.ledger, file), (recorded(), f"the engine's state of {config.stack}"))
    for digest in (config.release, *([config.challenger.release] if config.challenger else [])):
        try:
            rules = Rules(environment.name, environment.previous, environment.approvals_required, load_problem())
            store = Store(store_uri)
            trusted, quorum = TrustedKeys.of(store, project), environment.approvals_required + 1
            ledger = Ledger(store, config.stack, environment.name, trusted, heads(said), quorum)
            require_deployable(store, ledger, digest, rules, datetime.now(UTC))
        except (MlopsError, OSError) as error:
            raise PinRefused(f"{digest} in {file}: {error}") from error
    return config.release
