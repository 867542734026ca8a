"""What Batch is told of a kind of job: the image by digest, as whom, how large, how often tried, where it logs."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import batch

from infra.clouds.aws._account import settings
from infra.clouds.aws._runtime import pinned_image
from infra.clouds.aws.serverless import _names as names
from infra.contracts import Foundation
from infra.naming import logical

__all__ = ["Kind", "define"]

# vCPUs and MiB, in one of Fargate's combinations.
SIZES = {"small": ("2", "8192"), "medium": ("4", "16384"), "large": ("8", "32768")}
DISK_GIB = 50
ATTEMPTS = 4
# What `mlops` refuses (2: wrong input, 3: a release) is refused again; everything else may be the machine's fault.
EVALUATED: list[batch.JobDefinitionRetryStrategyEvaluateOnExitArgsDict] = [
    {"on_exit_code": "2", "action": "EXIT"},
    {"on_exit_code": "3", "action": "EXIT"},
    {"on_reason": "*", "action": "RETRY"},
]


@dataclass(frozen=True)
class Kind:
    """One kind of job: `command` is the image's, `variables` its environment, `role` what it acts as."""

    name: str
    command: list[str]
    variables: dict[str, pulumi.Input[str]]
    role: pulumi.Output[str]
    longest_s: int


def define(
    parent: pulumi.Resource, name: str, kind: Kind, base: Foundation, log: pulumi.Output[str]
) -> batch.JobDefinition:
    """A definition on Fargate; each change is a new revision under the same name."""
    config = base.config
    vcpus, memory = SIZES[config.environment.serving_size]
    container = {
        "image": pinned_image(base),
        "command": kind.command,
        "jobRoleArn": kind.role,
        "executionRoleArn": base.identity.orchestrating,
        "resourceRequirements": [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": memory}],
        "ephemeralStorage": {"sizeInGiB": DISK_GIB},
        "networkConfiguration": {"assignPublicIp": "DISABLED"},
        "fargatePlatformConfiguration": {"platformVersion": "LATEST"},
        "environment": [{"name": key, "value": value} for key, value in sorted(kind.variables.items())],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": log,
                "awslogs-region": settings(config).region,
                "awslogs-stream-prefix": kind.name,
            },
        },
    }
    return batch.JobDefinition(
        logical(name, kind.name),
        name=names.definition_name(config, kind.name),
        type="container",
        platform_capabilities=["FARGATE"],
        propagate_tags=True,
        container_properties=pulumi.Output.json_dumps(container),
        retry_strategy={"attempts": ATTEMPTS, "evaluate_on_exits": EVALUATED},
        timeout={"attempt_duration_seconds": kind.longest_s},
        opts=pulumi.ResourceOptions(parent=parent),
    )
