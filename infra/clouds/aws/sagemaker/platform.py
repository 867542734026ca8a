"""The model registry and the managed MLflow tracking server."""

import pulumi
from pulumi_aws import sagemaker

from infra.clouds.aws._names import LONGEST_NAME, tracking_name
from infra.clouds.aws._office_hours import OfficeHours
from infra.contracts import PlatformArgs, TrackingArgs
from infra.naming import logical, physical

__all__ = ["Platform", "Tracking"]

TRACKING_SIZES = {"small": "Small", "medium": "Small", "large": "Medium"}


class Platform(pulumi.ComponentResource):
    """The group that the environment's models are registered in."""

    identifier: pulumi.Output[str]

    def __init__(self, name: str, args: PlatformArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Platform", name, None, opts)
        config = args.config
        group = sagemaker.ModelPackageGroup(
            logical(name, "models"),
            model_package_group_name=physical(config.stack, "models", maximum_length=LONGEST_NAME),
            model_package_group_description=f"Models of {config.stack}; releases are pinned by digest",
            opts=pulumi.ResourceOptions(parent=self, protect=config.environment.is_protected),
        )
        self.identifier = group.model_package_group_name
        self.register_outputs({"identifier": self.identifier})


class Tracking(pulumi.ComponentResource):
    """SageMaker's own MLflow, its artifacts in the store; clients find it by its ARN (plugin `sagemaker-mlflow`)."""

    uri: pulumi.Output[str]

    def __init__(self, name: str, args: TrackingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Tracking", name, None, opts)
        config, base = args.config, args.foundation
        server = sagemaker.MlflowTrackingServer(
            logical(name, "server"),
            tracking_server_name=tracking_name(config),
            tracking_server_size=TRACKING_SIZES[config.environment.serving_size],
            artifact_store_uri=pulumi.Output.concat(base.store.uri, "/tracking"),
            role_arn=base.identity.tracking,
            automatic_model_registration=False,
            opts=pulumi.ResourceOptions(parent=self, protect=config.environment.is_protected),
        )
        if config.environment.stops_off_hours:
            named = {"TrackingServerName": server.tracking_server_name}
            OfficeHours(
                logical(name, "hours"),
                config,
                base.identity.scheduling,
                begin=("startMlflowTrackingServer", named),
                end=("stopMlflowTrackingServer", named),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.uri = server.arn
        self.register_outputs({"uri": self.uri})
