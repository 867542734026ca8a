"""The alarms of an endpoint: they tell people, and take back a release that is being rolled out."""

from typing import Any

import pulumi
from pulumi_aws import cloudwatch

from infra.clouds.aws._names import CHAMPION, endpoint_name
from infra.contracts import EndpointArgs
from infra.naming import logical, physical

__all__ = ["endpoint_alarms"]

PERIOD_S = 60
MICROSECONDS = 1000  # a millisecond; SageMaker counts latency in microseconds
FAILED_PERCENT = 1
FULL_PERCENT = 90


def endpoint_alarms(parent: pulumi.Resource, name: str, args: EndpointArgs) -> list[cloudwatch.MetricAlarm]:
    """Errors and latency of the champion decide about a rollout; a full disk or memory only tells."""
    config, channel = args.config, args.foundation.alerts.channel
    of = {"EndpointName": endpoint_name(config), "VariantName": CHAMPION}

    def alarm(role: str, what: str, threshold: float, **measured: Any) -> cloudwatch.MetricAlarm:
        return cloudwatch.MetricAlarm(
            logical(name, role),
            name=physical(config.stack, role, maximum_length=255),
            alarm_description=f"{config.stack}: {what}",
            comparison_operator="GreaterThanThreshold",
            threshold=threshold,
            evaluation_periods=3,
            datapoints_to_alarm=2,
            treat_missing_data="notBreaching",  # nobody asks: nothing is wrong
            alarm_actions=[channel],
            ok_actions=[channel],
            opts=pulumi.ResourceOptions(parent=parent),
            **measured,
        )

    latency_ms = config.environment.endpoint_latency_ms
    errors = alarm(
        "errors", f"more than {FAILED_PERCENT}% of requests fail", FAILED_PERCENT, metric_queries=_failed_percent(of)
    )
    latency = alarm(
        "latency",
        f"the slowest hundredth of requests takes longer than {latency_ms} ms",
        latency_ms * MICROSECONDS,
        namespace="AWS/SageMaker",
        metric_name="ModelLatency",
        extended_statistic="p99",
        period=PERIOD_S,
        dimensions=of,
    )
    for role, metric in (("memory", "MemoryUtilization"), ("disk", "DiskUtilization")):
        alarm(
            role,
            f"the servers' {role} is more than {FULL_PERCENT}% full",
            FULL_PERCENT,
            namespace="/aws/sagemaker/Endpoints",
            metric_name=metric,
            statistic="Maximum",
            period=PERIOD_S,
            dimensions=of,
        )
    return [errors, latency]


def _failed_percent(of: dict[str, str]) -> list[dict[str, Any]]:
    def summed(identifier: str, metric: str) -> dict[str, Any]:
        return {
            "id": identifier,
            "metric": {
                "namespace": "AWS/SageMaker",
                "metric_name": metric,
                "dimensions": of,
                "stat": "Sum",
                "period": PERIOD_S,
            },
        }

    share = {"id": "percent", "expression": "100 * failed / asked", "label": "Failed (%)", "return_data": True}
    return [share, summed("failed", "Invocation5XXErrors"), summed("asked", "Invocations")]
