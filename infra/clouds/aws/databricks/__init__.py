"""The platform `databricks`: a workspace in the environment's network and under its keys, and what runs in it."""

import pulumi

from infra.clouds.aws.databricks.identity import Identity
from infra.clouds.aws.databricks.jobs import Jobs
from infra.clouds.aws.databricks.platform import Platform
from infra.clouds.databricks.endpoint import Endpoint
from infra.clouds.databricks.provider import account_provider
from infra.clouds.databricks.tracking import Tracking
from infra.config import StackConfig

__all__ = ["Endpoint", "Identity", "Jobs", "Platform", "Tracking", "providers"]

HOST = "https://accounts.cloud.databricks.com"


def providers(config: StackConfig) -> list[pulumi.ProviderResource]:
    """The Databricks account's, beside AWS's own."""
    return [account_provider(config, HOST)]
