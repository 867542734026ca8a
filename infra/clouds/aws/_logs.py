"""CloudWatch Logs: encrypted, and kept for certain numbers of days only."""

import pulumi
from pulumi_aws import cloudwatch

from infra.contracts import Foundation
from infra.naming import logical

__all__ = ["LONGEST_LOG_GROUP", "log_group", "retention_days"]

LONGEST_LOG_GROUP = 128
KEPT_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


def retention_days(wanted: int) -> int:
    """The shortest time that is there and not shorter than `wanted`; the longest is ten years."""
    return next((days for days in KEPT_DAYS if days >= wanted), KEPT_DAYS[-1])


def log_group(parent: pulumi.Resource, name: str, role: str, called: str, base: Foundation) -> pulumi.Output[str]:
    """A log of a workload; its name."""
    return cloudwatch.LogGroup(
        logical(name, role),
        name=called,
        kms_key_id=base.keys.operations,
        retention_in_days=retention_days(base.config.environment.log_retention_days),
        opts=pulumi.ResourceOptions(parent=parent),
    ).name
