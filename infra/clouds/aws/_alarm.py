"""An alarm that tells people, and tells them when it is over."""

from typing import Any

import pulumi
from pulumi_aws import cloudwatch

from infra.config import StackConfig
from infra.naming import logical, physical

__all__ = ["FAILED_PERCENT", "PERIOD_S", "alarm", "failed_percent"]

PERIOD_S = 60
FAILED_PERCENT = 1


def alarm(
    parent: pulumi.Resource,
    name: str,
    role: str,
    config: StackConfig,
    channel: pulumi.Input[str],
    what: str,
    threshold: float,
    **measured: Any,
) -> cloudwatch.MetricAlarm:
    """Raised when two of three minutes are over `threshold`; `measured` says what is counted."""
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


def failed_percent(namespace: str, failed: str, asked: str, of: dict[str, str]) -> list[dict[str, Any]]:
    """The metric `failed` as percent of the metric `asked`."""

    def summed(identifier: str, metric: str) -> dict[str, Any]:
        measured = {"namespace": namespace, "metric_name": metric, "dimensions": of, "stat": "Sum", "period": PERIOD_S}
        return {"id": identifier, "metric": measured}

    share = {"id": "percent", "expression": "100 * failed / asked", "label": "Failed (%)", "return_data": True}
    return [share, summed("failed", failed), summed("asked", asked)]
