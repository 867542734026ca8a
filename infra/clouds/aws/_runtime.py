"""What a container on AWS is told of its stack."""

from collections.abc import Mapping

import pulumi
from pulumi_aws import s3

from infra.clouds.aws._account import bucket_name
from infra.clouds.aws._names import STORE, dashboard_url
from infra.contracts import Foundation, Tracking
from infra.naming import logical

__all__ = ["PREFIX", "pinned_image", "runtime"]

PREFIX = "runtime"


def runtime(
    parent: pulumi.Resource,
    name: str,
    foundation: Foundation,
    tracking: Tracking,
    release: str | None = None,
    jobs: Mapping[str, pulumi.Input[str]] | None = None,
) -> pulumi.Output[str]:
    """Lay what a job needs of `ml.runtime.Runtime` into the store; its URI, for MLOPS_RUNTIME.

    `jobs` are told to whom starts them; a job itself is told of none, or it would start another instead of working.

    A variable is too small for it: SageMaker allows 256 characters for a monitoring job's, and 512 for a training's.
    """
    config = foundation.config
    told = {
        "stack": config.stack,
        "cloud": config.cloud,
        "platform": config.platform,
        "environment": config.environment.name,
        "store_uri": foundation.store.uri,
        "tracking_uri": tracking.uri,
        "monitor_url": dashboard_url(config),
        "release": release,
        "log_retention_days": config.environment.log_retention_days,
        **(jobs or {}),
    }
    file = s3.BucketObjectv2(
        logical(name, "runtime"),
        bucket=bucket_name(config, STORE),
        key=f"{PREFIX}/{name}.json",
        content=pulumi.Output.json_dumps(told),
        content_type="application/json",
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return pulumi.Output.concat(foundation.store.uri, "/", file.key)


def pinned_image(foundation: Foundation) -> pulumi.Output[str]:
    """The image by digest; the configuration refuses a release without one."""
    if foundation.images.image is None:
        raise LookupError(f"{foundation.config.stack} has no pinned image")
    return foundation.images.image
