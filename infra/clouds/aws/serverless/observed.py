"""What is to be seen of Batch and Lambda: the dashboard's charts, and the events that people are told of."""

from typing import Any

from infra.clouds.aws._account import arn, settings
from infra.clouds.aws._charts import Chart, chart
from infra.clouds.aws.serverless import _names as names
from infra.config import StackConfig

__all__ = ["BUCKETS", "charts", "failures"]

BUCKETS: tuple[str, ...] = ()  # the roles of the buckets that this platform has besides the store


def charts(config: StackConfig) -> list[Chart]:
    """The function's calls, errors, latency and copies under way, and the events that nobody could answer."""
    region = settings(config).region
    function = names.function_name(config, names.SERVING)
    served = ["FunctionName", function, "Resource", f"{function}:{names.ALIAS}"]
    failed = ["QueueName", names.failed_queue(config)]
    return [
        chart("Requests", region, [["AWS/Lambda", "Invocations", *served]], "Sum"),
        chart("Errors", region, [["AWS/Lambda", name, *served] for name in ("Errors", "Throttles")], "Sum"),
        chart("Latency of the slowest hundredth (milliseconds)", region, [["AWS/Lambda", "Duration", *served]], "p99"),
        chart("Copies under way", region, [["AWS/Lambda", "ConcurrentExecutions", *served]], "Maximum"),
        chart("Failed events", region, [["AWS/SQS", "ApproximateNumberOfMessagesVisible", *failed]], "Maximum"),
    ]


def failures(config: StackConfig) -> dict[str, Any]:
    """A job of the stack's queue that failed, after its last attempt."""
    queue = arn(config, "batch", f"job-queue/{names.queue_name(config)}")
    return {
        "source": ["aws.batch"],
        "detail-type": ["Batch Job State Change"],
        "detail": {"status": ["FAILED"], "jobQueue": [queue]},
    }
