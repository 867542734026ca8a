"""The registry of models that a platform has of its own: a release gets there, and stays what the ledger says of it."""

from collections.abc import Callable

from ml.errors import InputRefused, MlopsError
from ml.release.model_package import ModelPackages, is_group
from ml.release.stackfile import pinned_image
from ml.release.stage import Stage

__all__ = ["follow_ledger", "hand_over"]


def hand_over(stage: Stage, digest: str, say: Callable[[str], None]) -> str | None:
    """What the release is called in the registry, once it is there; None where the platform has no registry.

    ReleaseRefused for a release that is altered or that nobody known has signed.
    """
    registry = stage.runtime.model_registry if stage.runtime else None
    if registry is None:
        return None
    if packages := _packages(stage):
        return packages.register(digest, _image(stage), say)
    from ml.release.hand_over import hand_over as into_unity_catalog  # with MLflow: seconds of imports

    return into_unity_catalog(stage, registry, digest, say)


def follow_ledger(stage: Stage, digest: str) -> None:
    """Have a registry that knows approvals say what the ledger now says of a release; MlopsError when it doesn't."""
    if packages := _packages(stage):
        try:
            packages.follow(digest)
        except MlopsError as error:
            raise MlopsError(
                f"It is in the ledger of {stage.stack}, which counts, but not in the registry: {error} "
                f"`mlops hand-over --stack {stage.stack} --release {digest}` says it there."
            ) from error


def _packages(stage: Stage) -> ModelPackages | None:
    runtime = stage.runtime
    if runtime is None or runtime.model_registry is None or not is_group(runtime.model_registry):
        return None
    return ModelPackages(stage, runtime.model_registry, runtime.approvals_required)


def _image(stage: Stage) -> str:
    """The image that the stack's file pins beside the release, in the stack's own repository."""
    image, repository = pinned_image(stage.file), stage.runtime.image_repository if stage.runtime else None
    if repository is None or image is None:
        raise InputRefused(
            f"{stage.file} pins no image, and a release is registered with the one that serves it. Run "
            f"`pulumi config set mlops:image sha256:… --stack {stage.stack}`, then this command again."
        )
    return f"{repository}@{image}"
