"""What is to be seen of SageMaker: the dashboard's charts, and the events that people are told of."""

from typing import Any

from infra.clouds.aws._account import settings
from infra.clouds.aws._charts import Chart, chart
from infra.clouds.aws._names import CHAMPION, endpoint_name
from infra.config import StackConfig

__all__ = ["BUCKETS", "charts", "failures"]

BUCKETS: tuple[str, ...] = ()  # the roles of the buckets that this platform has besides the store


def charts(config: StackConfig) -> list[Chart]:
    """The endpoint's traffic, errors, latency and load."""
    region = settings(config).region
    variant = ["EndpointName", endpoint_name(config), "VariantName", CHAMPION]
    wrong, slow = ("Invocation4XXErrors", "Invocation5XXErrors"), ("ModelLatency", "OverheadLatency")
    load = ("CPUUtilization", "MemoryUtilization")
    return [
        chart("Requests", region, [["AWS/SageMaker", "Invocations", *variant]], "Sum"),
        chart("Errors", region, [["AWS/SageMaker", name, *variant] for name in wrong], "Sum"),
        chart(
            "Latency of the slowest hundredth (microseconds)",
            region,
            [["AWS/SageMaker", name, *variant] for name in slow],
            "p99",
        ),
        chart(
            "Load of the servers (percent)",
            region,
            [["/aws/sagemaker/Endpoints", name, *variant] for name in load],
            "Average",
        ),
    ]


def failures(_config: StackConfig) -> dict[str, Any]:
    """A training or a monitor that failed, and an endpoint's deployment that was rolled back."""
    return {
        "source": ["aws.sagemaker"],
        "detail-type": [
            "SageMaker Training Job State Change",
            "SageMaker Processing Job State Change",  # the monitor
            "SageMaker Model Building Pipeline Execution Status Change",
            "SageMaker Endpoint Deployment State Change",
        ],
        "$or": [
            {"detail": {"TrainingJobStatus": ["Failed"]}},
            {"detail": {"ProcessingJobStatus": ["Failed"]}},
            {"detail": {"currentPipelineExecutionStatus": ["Failed"]}},
            {"detail": {"EndpointDeploymentStatus": ["Failed", "RollbackCompleted", "RollbackFailed"]}},
        ],
    }
