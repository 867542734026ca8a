"""The registry of models that a platform has of its own: a release gets there, and stays what the ledger says of it."""

from collections.abc import Callable
from datetime import UTC, datetime

from ml.bundle.manifest import Manifest
from ml.errors import InputRefused, MlopsError, ReleaseRefused
from ml.platform import Registered, Registry, Standing, platform_of
from ml.release.policy import require_deployable, require_sound
from ml.release.stackfile import pinned_image
from ml.release.stage import Stage
from ml.trust.history import retirement

__all__ = ["bring_into", "follow_ledger", "hand_over"]


def hand_over(stage: Stage, digest: str, say: Callable[[str], None]) -> str | None:
    """What the release is called in the registry, once it is there; None where the platform has no registry.

    ReleaseRefused for a release that is altered or that nobody known has signed.
    """
    registry = _registry(stage)
    return bring_into(registry, stage, digest, say) if registry else None


def bring_into(registry: Registry, stage: Stage, digest: str, say: Callable[[str], None]) -> str:
    """What the registry calls the release, which it verifies before it takes it."""

    def verified() -> Manifest:
        say("Verifying the release")
        return require_sound(stage.store, digest, stage.trusted, datetime.now(UTC)).manifest

    return registry.register(Registered(digest, stage.store, _standing(stage, digest), _image(stage), verified), say)


def follow_ledger(stage: Stage, digest: str) -> None:
    """Have a registry that knows approvals say what the ledger now says of a release; MlopsError when it doesn't."""
    if registry := _registry(stage):
        try:
            registry.follow(digest, _standing(stage, digest))
        except MlopsError as error:
            raise MlopsError(
                f"It is in the ledger of {stage.stack}, which counts, but not in the registry: {error} "
                f"`mlops hand-over --stack {stage.stack} --release {digest}` says it there."
            ) from error


def _registry(stage: Stage) -> Registry | None:
    return platform_of(stage.runtime).registry(stage.runtime) if stage.runtime else None


def _standing(stage: Stage, digest: str) -> Standing:
    if retired := retirement(stage.ledger.entries(), digest):
        reason = retired.details.get("reason")
        return Standing("rejected", f"Retired on {retired.at:%Y-%m-%d} by {retired.actor}: {reason}")
    try:
        require_deployable(stage.store, stage.ledger, digest, stage.rules, datetime.now(UTC))
    except ReleaseRefused as refused:
        return Standing("pending", str(refused))
    return Standing("approved", f"May be deployed to {stage.stack}, as its ledger says")


def _image(stage: Stage) -> str | None:
    """The image that the stack's file pins beside the release, in the stack's own repository, where it has one."""
    repository = stage.runtime.image_repository if stage.runtime else None
    if repository is None:
        return None
    image = pinned_image(stage.file)
    if image is None:
        raise InputRefused(
            f"{stage.file} pins no image, and a release is registered with the one that serves it. Run "
            f"`pulumi config set mlops:image sha256:… --stack {stage.stack}`, then this command again."
        )
    return f"{repository}@{image}"
