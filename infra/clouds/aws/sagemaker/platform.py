"""The model registry."""

import pulumi
from pulumi_aws import sagemaker

from infra.clouds.aws._names import LONGEST_NAME
from infra.contracts import PlatformArgs
from infra.naming import logical, physical

__all__ = ["Platform"]


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
