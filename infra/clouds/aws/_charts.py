"""A chart on the CloudWatch dashboard."""

from collections.abc import Sequence
from typing import Any

__all__ = ["HEIGHT", "WIDTH", "Chart", "chart"]

WIDTH, HEIGHT = 12, 6  # of 24 columns; two widgets a row
PERIOD_S = 300

Chart = dict[str, Any]


def chart(title: str, region: str, metrics: Sequence[list[str]], stat: str, period_s: int = PERIOD_S) -> Chart:
    """One widget; `metrics` are as CloudWatch writes them: namespace, name, then names and values of dimensions."""
    properties = {"title": title, "region": region, "metrics": metrics, "stat": stat, "period": period_s}
    return {"type": "metric", "width": WIDTH, "height": HEIGHT, "properties": properties | {"view": "timeSeries"}}
