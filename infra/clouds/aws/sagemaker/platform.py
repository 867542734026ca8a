"""The model registry, and where jobs log."""

import pulumi
from pulumi_aws import sagemaker

from infra.clouds.aws._account import settings
from infra.clouds.aws._logs import log_group
from infra.clouds.aws._names import models_name
from infra.contracts import PlatformArgs
from infra.naming import logical

__all__ = ["Platform"]


# SageMaker makes these for whoever runs a first job in an account; then they are kept for ever, under AWS's own key.
ACCOUNT_LOGS = {
    "training-log": "/aws/sagemaker/TrainingJobs",
    "processing-log": "/aws/sagemaker/ProcessingJobs",
}


class Platform(pulumi.ComponentResource):
    """The group that the environment's models are registered in, and the logs of its jobs."""

    identifier: pulumi.Output[str]

    def __init__(self, name: str, args: PlatformArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Platform", name, None, opts)
        config = args.config
        group = sagemaker.ModelPackageGroup(
            logical(name, "models"),
            model_package_group_name=models_name(config),
            model_package_group_description=f"Models of {config.stack}; releases are pinned by digest",
            opts=pulumi.ResourceOptions(parent=self, protect=config.environment.is_protected),
        )
        if not settings(config).account_is_shared:
            for role, log in ACCOUNT_LOGS.items():
                log_group(self, name, role, log, args.foundation)
        self.identifier = group.model_package_group_name
        self.register_outputs({"identifier": self.identifier})
