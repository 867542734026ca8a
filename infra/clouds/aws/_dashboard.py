"""The CloudWatch dashboard: the endpoint's traffic, errors and latency, the monitor's figures, what the store holds."""

import json
from typing import Any

from infra.clouds.aws._account import bucket_name
from infra.clouds.aws._names import CHAMPION, STORE, endpoint_name
from infra.config import StackConfig

__all__ = ["body"]

WIDTH, HEIGHT = 12, 6  # of 24 columns; two widgets a row
PERIOD_S = 300
DAY_S = 86400


def body(config: StackConfig, region: str) -> str:
    """The dashboard as JSON; a widget without a metric yet shows an empty chart."""
    variant = ["EndpointName", endpoint_name(config), "VariantName", CHAMPION]
    widgets = [
        _chart("Requests", region, [["AWS/SageMaker", "Invocations", *variant]], "Sum"),
        _chart(
            "Errors",
            region,
            [["AWS/SageMaker", name, *variant] for name in ("Invocation4XXErrors", "Invocation5XXErrors")],
            "Sum",
        ),
        _chart(
            "Latency of the slowest hundredth (microseconds)",
            region,
            [["AWS/SageMaker", name, *variant] for name in ("ModelLatency", "OverheadLatency")],
            "p99",
        ),
        _chart(
            "Load of the servers (percent)",
            region,
            [["/aws/sagemaker/Endpoints", name, *variant] for name in ("CPUUtilization", "MemoryUtilization")],
            "Average",
        ),
        _chart(
            "What the store holds (bytes)",
            region,
            [["AWS/S3", "BucketSizeBytes", "BucketName", bucket_name(config, STORE), "StorageType", "StandardStorage"]],
            "Average",
            DAY_S,
        ),
    ]
    placed = [
        widget | {"x": WIDTH * (number % 2), "y": HEIGHT * (number // 2)} for number, widget in enumerate(widgets)
    ]
    return json.dumps({"widgets": placed})


def _chart(title: str, region: str, metrics: list[list[str]], stat: str, period_s: int = PERIOD_S) -> dict[str, Any]:
    properties = {"title": title, "region": region, "metrics": metrics, "stat": stat, "period": period_s}
    return {"type": "metric", "width": WIDTH, "height": HEIGHT, "properties": properties | {"view": "timeSeries"}}
