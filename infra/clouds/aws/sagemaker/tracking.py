"""The managed MLflow, and beside it the group that released versions are registered in."""

import pulumi

from infra.clouds.aws import tracking
from infra.clouds.aws._account import arn
from infra.contracts import TrackingArgs

__all__ = ["Tracking"]


class Tracking(tracking.Tracking):
    """SageMaker's own registry of models shows what may be deployed; nothing is served from it."""

    models: pulumi.Output[str] | None

    def __init__(self, name: str, args: TrackingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        group = args.platform.identifier
        self.models = group.apply(lambda named: arn(args.config, "sagemaker", f"model-package-group/{named}"))
