"""One model release onto a platform: what is pinned must be whole, signed, proven, and approved where that is asked."""

from datetime import UTC, datetime
from pathlib import Path

from infra.config import StackConfig

__all__ = ["PinRefused", "check"]

PROJECT = Path(__file__).parents[1]


class PinRefused(Exception):
    """The pinned release must not be deployed; the message gives the cause and the remedy."""


def check(config: StackConfig, store_uri: str, project: Path = PROJECT) -> str | None:
    """The pinned release's digest, verified before anything is planned; None before the first release.

    A challenger answers people too, so it must prove the same.
    """
    if config.release is None:
        return None
    from ml.errors import MlopsError
    from ml.release.keys import TrustedKeys
    from ml.release.ledger import Ledger
    from ml.release.policy import Rules, require_deployable
    from ml.store import Store

    environment = config.environment
    rules = Rules(environment.name, environment.previous, environment.approvals_required)
    for digest in (config.release, *([config.challenger.release] if config.challenger else [])):
        try:
            store = Store(store_uri)
            ledger = Ledger(store, config.stack, environment.name, TrustedKeys.of(store, project))
            require_deployable(store, ledger, digest, rules, datetime.now(UTC))
        except (MlopsError, OSError) as error:
            raise PinRefused(f"{digest} in stacks/Pulumi.{config.stack}.yaml: {error}") from error
    return config.release
