"""The platform `databricks`: a workspace in the environment's network and under its keys, and what runs in it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.clouds.aws._platform import AwsPlatform
    from infra.clouds.aws.databricks.identity import Identity
    from infra.clouds.aws.databricks.platform import Platform

__all__ = ["aws_platform"]

HOST = "https://accounts.cloud.databricks.com"
RUNTIME_BUCKET = "databricks-prod-artifacts-{region}"  # where clusters' machines find the parts of their runtime


def aws_platform() -> "AwsPlatform[Identity, Platform]":
    """What it is made of; its SDK is imported here, and for no other platform's stack."""
    from infra.clouds.aws._platform import AwsPlatform
    from infra.clouds.aws.databricks import identity, jobs, observed, platform
    from infra.clouds.databricks import endpoint, tracking
    from infra.clouds.databricks.provider import account_provider

    return AwsPlatform(
        identity=identity.Identity,
        platform=platform.Platform,
        tracking=tracking.Tracking,
        jobs=jobs.Jobs,
        endpoint=endpoint.Endpoint,
        observed=observed,
        providers=lambda config: [account_provider(config, HOST)],
        buckets=(RUNTIME_BUCKET,),
    )
