"""One model release onto a platform: what is pinned must be in the store, whole, and have passed its gates."""

from infra.config import StackConfig

__all__ = ["PinRefused", "check"]


class PinRefused(Exception):
    """The pinned release must not be deployed; the message gives the cause and the remedy."""


def check(config: StackConfig, store_uri: str) -> str | None:
    """The pinned release's digest, verified before anything is planned; None before the first release."""
    if config.release is None:
        return None
    try:
        from ml.release.bundle import verify

        from ml.store import Store

        verify(Store(store_uri), config.release)
    except Exception as error:
        raise PinRefused(f"{config.release} in stacks/Pulumi.{config.stack}.yaml: {error}") from error
    return config.release
