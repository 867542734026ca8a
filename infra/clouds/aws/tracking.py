"""The managed MLflow tracking server, which every platform without one of its own uses."""

import pulumi
from pulumi_aws import sagemaker

from infra.clouds.aws._names import tracking_name
from infra.clouds.aws._office_hours import OfficeHours
from infra.contracts import TrackingArgs
from infra.naming import logical

__all__ = ["Tracking"]

TRACKING_SIZES = {"small": "Small", "medium": "Small", "large": "Medium"}


class Tracking(pulumi.ComponentResource):
    """SageMaker's own MLflow, its artifacts in the store; clients find it by its ARN (plugin `sagemaker-mlflow`)."""

    uri: pulumi.Output[str]
    models: pulumi.Output[str] | None = None

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
