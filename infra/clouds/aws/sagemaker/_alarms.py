"""The alarms of an endpoint: they tell people, and take back a release that is being rolled out."""

import functools

import pulumi
from pulumi_aws import cloudwatch

from infra.clouds.aws._alarm import FAILED_PERCENT, PERIOD_S, alarm, failed_percent
from infra.clouds.aws._names import CHAMPION, endpoint_name
from infra.contracts import EndpointArgs

__all__ = ["endpoint_alarms"]

MICROSECONDS = 1000  # a millisecond; SageMaker counts latency in microseconds
FULL_PERCENT = 90


def endpoint_alarms(parent: pulumi.Resource, name: str, args: EndpointArgs) -> list[cloudwatch.MetricAlarm]:
    """Errors and latency of the champion decide about a rollout; a full disk or memory only tells."""
    config, channel = args.config, args.foundation.alerts.channel
    of = {"EndpointName": endpoint_name(config), "VariantName": CHAMPION}
    raised = functools.partial(alarm, parent, name, config=config, channel=channel)
    latency_ms = config.environment.endpoint_latency_ms
    errors = raised(
        "errors",
        what=f"more than {FAILED_PERCENT}% of requests fail",
        threshold=FAILED_PERCENT,
        metric_queries=failed_percent("AWS/SageMaker", "Invocation5XXErrors", "Invocations", of),
    )
    latency = raised(
        "latency",
        what=f"the slowest hundredth of requests takes longer than {latency_ms} ms",
        threshold=latency_ms * MICROSECONDS,
        namespace="AWS/SageMaker",
        metric_name="ModelLatency",
        extended_statistic="p99",
        period=PERIOD_S,
        dimensions=of,
    )
    for role, metric in (("memory", "MemoryUtilization"), ("disk", "DiskUtilization")):
        raised(
            role,
            what=f"the servers' {role} is more than {FULL_PERCENT}% full",
            threshold=FULL_PERCENT,
            namespace="/aws/sagemaker/Endpoints",
            metric_name=metric,
            statistic="Maximum",
            period=PERIOD_S,
            dimensions=of,
        )
    return [errors, latency]
