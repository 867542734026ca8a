"""Run something on weekdays from 7 to 19 o'clock: by a scheduler that calls AWS itself, without code of ours."""

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_aws import scheduler

from infra.config import StackConfig
from infra.naming import logical, physical

__all__ = ["OfficeHours"]

BEGIN, END = "cron(0 7 ? * MON-FRI *)", "cron(0 19 ? * MON-FRI *)"
LONGEST_NAME = 64
Call = tuple[str, Mapping[str, Any]]  # a SageMaker action as the SDK names it, and its input


class OfficeHours(pulumi.ComponentResource):
    """`begin` and `end` are calls of SageMaker; the first run of `end` comes on the evening of the first weekday."""

    def __init__(
        self,
        name: str,
        config: StackConfig,
        role_arn: pulumi.Input[str],
        *,
        begin: Call,
        end: Call,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("mlops:aws:OfficeHours", name, None, opts)
        for role, when, (action, given) in (("begin", BEGIN, begin), ("end", END, end)):
            scheduler.Schedule(
                logical(name, role),
                name=physical(config.stack, logical(name, role), maximum_length=LONGEST_NAME),
                schedule_expression=when,
                schedule_expression_timezone=config.time_zone,
                flexible_time_window={"mode": "OFF"},
                target={
                    "arn": f"arn:aws:scheduler:::aws-sdk:sagemaker:{action}",
                    "role_arn": role_arn,
                    "input": pulumi.Output.json_dumps(given),
                    "retry_policy": {"maximum_retry_attempts": 3},
                },
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})
