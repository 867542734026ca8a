"""The CloudWatch dashboard: what the platform shows of its traffic, errors and latency, and what the store holds."""

import json
from collections.abc import Sequence

from infra.clouds.aws._account import bucket_name, settings
from infra.clouds.aws._charts import HEIGHT, WIDTH, Chart, chart
from infra.clouds.aws._names import STORE
from infra.config import StackConfig

__all__ = ["body"]

DAY_S = 86400


def body(config: StackConfig, platform: Sequence[Chart]) -> str:
    """The dashboard as JSON, the platform's charts first; a widget without a metric yet shows an empty chart."""
    region = settings(config).region
    held = ["AWS/S3", "BucketSizeBytes", "BucketName", bucket_name(config, STORE), "StorageType", "StandardStorage"]
    widgets = [*platform, chart("What the store holds (bytes)", region, [held], "Average", DAY_S)]
    placed = [
        widget | {"x": WIDTH * (number % 2), "y": HEIGHT * (number // 2)} for number, widget in enumerate(widgets)
    ]
    return json.dumps({"widgets": placed})
