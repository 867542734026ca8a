"""The alarms of the function that serves."""

import functools

import pulumi

from infra.clouds.aws._alarm import FAILED_PERCENT, PERIOD_S, alarm, failed_percent
from infra.clouds.aws.serverless import _names as names
from infra.contracts import EndpointArgs

__all__ = ["serving_alarms"]


def serving_alarms(parent: pulumi.Resource, name: str, args: EndpointArgs) -> None:
    """Errors, calls that were turned away, and latency; a start from cold counts as slow."""
    config = args.config
    function = names.function_name(config, names.SERVING)
    of = {"FunctionName": function, "Resource": f"{function}:{names.ALIAS}"}
    raised = functools.partial(alarm, parent, name, config=config, channel=args.foundation.alerts.channel)
    latency_ms = config.environment.endpoint_latency_ms
    raised(
        "errors",
        what=f"more than {FAILED_PERCENT}% of calls fail",
        threshold=FAILED_PERCENT,
        metric_queries=failed_percent("AWS/Lambda", "Errors", "Invocations", of),
    )
    raised(
        "throttles",
        what="calls are turned away: all copies that are allowed are busy",
        threshold=0,
        namespace="AWS/Lambda",
        metric_name="Throttles",
        statistic="Sum",
        period=PERIOD_S,
        dimensions=of,
    )
    raised(
        "latency",
        what=f"the slowest hundredth of calls takes longer than {latency_ms} ms",
        threshold=latency_ms,
        namespace="AWS/Lambda",
        metric_name="Duration",
        extended_statistic="p99",
        period=PERIOD_S,
        dimensions=of,
    )
