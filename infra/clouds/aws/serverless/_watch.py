"""The monitor on a schedule: a function reads the log in the store, reports, and submits a training when it is time."""

import pulumi
from pulumi_aws import scheduler

from infra.clouds.aws._alarm import alarm
from infra.clouds.aws._runtime import runtime
from infra.clouds.aws._schedule import every
from infra.clouds.aws.serverless import _names as names
from infra.clouds.aws.serverless._function import FunctionConfig, ImageFunction
from infra.clouds.aws.serverless.platform import Platform
from infra.contracts import JobsArgs
from infra.naming import logical, physical

__all__ = ["watch"]

MEMORY_MIB = 4096
LONGEST_S = 900  # Lambda's own limit: a log that needs longer needs a job


def watch(parent: pulumi.Resource, name: str, args: JobsArgs[Platform], training: pulumi.Output[str]) -> None:
    """One copy at a time: two reports of the same window would say the same."""
    config, base, platform = args.config, args.foundation, args.platform
    child = pulumi.ResourceOptions(parent=parent)
    told = runtime(
        parent,
        logical(name, "watch"),
        base,
        args.tracking,
        config.release,
        {"training_job": training, "job_queue": platform.identifier},
    )
    made = ImageFunction(
        logical(name, "watch"),
        FunctionConfig(names.WATCHING, ["lambda", "watch"], MEMORY_MIB, LONGEST_S, copies=1),
        base,
        base.identity.monitoring,
        {"MLOPS_RUNTIME": told},
        child,
    )
    made.keep_failed(platform.failed)
    alarm(
        parent,
        name,
        "watch-errors",
        config,
        base.alerts.channel,
        "the monitor fails",
        0,
        namespace="AWS/Lambda",
        metric_name="Errors",
        statistic="Sum",
        period=300,
        dimensions={"FunctionName": names.function_name(config, names.WATCHING)},
    )
    hours = config.environment.monitors_every_h
    scheduler.Schedule(
        logical(name, "watch-schedule"),
        name=physical(config.stack, "watch", maximum_length=64),
        schedule_expression=every(hours, "hour"),
        flexible_time_window={"mode": "FLEXIBLE", "maximum_window_in_minutes": 15},
        target={
            "arn": made.function.arn,
            "role_arn": base.identity.scheduling,
            "input": "{}",
            "retry_policy": {"maximum_retry_attempts": 3},
        },
        opts=child,
    )
