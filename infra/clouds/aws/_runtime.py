"""What a container on AWS is told of its stack."""

import pulumi

from infra.clouds.aws._names import dashboard_url
from infra.config import StackConfig
from infra.contracts import Foundation, Tracking

__all__ = ["pinned_image", "runtime"]


def runtime(
    config: StackConfig, foundation: Foundation, tracking: Tracking, release: str | None = None
) -> pulumi.Output[str]:
    """The fields of `ml.runtime.Runtime` that a job needs, as JSON for MLOPS_RUNTIME."""
    return pulumi.Output.json_dumps(
        {
            "stack": config.stack,
            "cloud": config.cloud,
            "platform": config.platform,
            "environment": config.environment.name,
            "store_uri": foundation.store.uri,
            "tracking_uri": tracking.uri,
            "monitor_url": dashboard_url(config),
            "release": release,
            "log_retention_days": config.environment.log_retention_days,
        }
    )


def pinned_image(foundation: Foundation) -> pulumi.Output[str]:
    """The image by digest; the configuration refuses a release without one."""
    if foundation.images.image is None:
        raise LookupError(f"{foundation.config.stack} has no pinned image")
    return foundation.images.image
