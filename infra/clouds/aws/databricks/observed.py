"""What AWS shows of Databricks: little, for jobs and endpoints are serverless and send their mail themselves."""

from typing import Any

from infra.clouds.aws._account import settings
from infra.clouds.aws._charts import Chart
from infra.clouds.aws.databricks._storage import ROOT
from infra.config import StackConfig

__all__ = ["BUCKETS", "charts", "failures"]

BUCKETS: tuple[str, ...] = (ROOT,)  # the roles of the buckets that this platform has besides the store


def charts(_config: StackConfig) -> list[Chart]:
    """None: the endpoint's figures are in its workspace."""
    return []


def failures(config: StackConfig) -> dict[str, Any]:
    """What AWS has to say of the machines of people's clusters: in this account, nothing else runs any."""
    return {
        "source": ["aws.health"],
        "detail-type": ["AWS Health Event"],
        "detail": {"service": ["EC2"], "eventTypeCategory": ["issue"]},
        "region": [settings(config).region],
    }
