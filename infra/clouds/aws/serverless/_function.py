"""A Lambda function from the one image: in the private network, encrypted, traced, and nothing that fails is lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import lambda_

from infra.clouds.aws._logs import log_group
from infra.clouds.aws._runtime import pinned_image
from infra.clouds.aws.serverless import _names as names
from infra.contracts import Foundation
from infra.naming import logical

__all__ = ["FunctionConfig", "ImageFunction"]

RETRIES = 2
OLDEST_EVENT_S = 3600
DISK_MIB = 2048  # of /tmp, where a release is kept while a copy lives


@dataclass(frozen=True)
class FunctionConfig:
    """What differs between functions: `copies` may run at a time, and no more."""

    role: str
    command: Sequence[str]
    memory_mib: int
    timeout_s: int
    copies: int
    is_versioned: bool = False


class ImageFunction(pulumi.ComponentResource):
    """The function with its log; `failed` gets the events that it could not answer after some attempts."""

    function: lambda_.Function

    def __init__(
        self,
        name: str,
        config: FunctionConfig,
        base: Foundation,
        acts_as: pulumi.Output[str],
        variables: Mapping[str, pulumi.Input[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("mlops:aws:ImageFunction", name, None, opts)
        self._name = name
        protected = base.config.environment.is_protected
        log = log_group(self, name, "log", names.log_group(base.config, config.role), base)
        self.function = lambda_.Function(
            logical(name, "function"),
            name=names.function_name(base.config, config.role),
            package_type="Image",
            image_uri=pinned_image(base),
            image_config={"commands": list(config.command)},
            architectures=["x86_64"],
            role=acts_as,
            memory_size=config.memory_mib,
            timeout=config.timeout_s,
            ephemeral_storage={"size": DISK_MIB},
            reserved_concurrent_executions=config.copies,
            publish=config.is_versioned,
            environment={"variables": variables},
            kms_key_arn=base.keys.data,
            vpc_config={"subnet_ids": base.network.subnets, "security_group_ids": [base.network.guard]},
            tracing_config={"mode": "Active"},
            logging_config={"log_format": "JSON", "log_group": log},
            opts=pulumi.ResourceOptions(parent=self, protect=protected),
        )
        self.register_outputs({"arn": self.function.arn})

    def keep_failed(self, failed: pulumi.Output[str], qualifier: pulumi.Input[str] | None = None) -> None:
        """Keep events that came without anybody waiting for the answer, when they fail for good."""
        lambda_.FunctionEventInvokeConfig(
            logical(self._name, "failures"),
            function_name=self.function.name,
            qualifier=qualifier,
            maximum_retry_attempts=RETRIES,
            maximum_event_age_in_seconds=OLDEST_EVENT_S,
            destination_config={"on_failure": {"destination": failed}},
            opts=pulumi.ResourceOptions(parent=self),
        )
