"""What an environment consists of, whatever the cloud."""

from infra import clouds, release
from infra.config import StackConfig
from infra.contracts import (
    EndpointArgs,
    NetworkArgs,
    ObjectStoreArgs,
    ObservabilityArgs,
    Outputs,
    PlatformArgs,
    TrackingArgs,
)
from infra.record import DeploymentRecord

__all__ = ["compose"]


def compose(config: StackConfig) -> Outputs:
    """Create the environment; the outputs are the fields of `ml.runtime.Runtime`."""
    cloud = clouds.load(config)
    pinned = release.check(config, cloud.store_uri(config))
    network = cloud.network("network", NetworkArgs(config))
    store = cloud.object_store("store", ObjectStoreArgs(config, network))
    platform = cloud.platform("platform", PlatformArgs(config, network))
    tracking = cloud.tracking("tracking", TrackingArgs(config, network, platform))
    endpoint = (
        cloud.endpoint("endpoint", EndpointArgs(config, network, platform, store.uri, pinned)) if pinned else None
    )
    if endpoint:
        DeploymentRecord("release-record", config, store.uri, endpoint)
    observability = cloud.observability(
        "observability",
        ObservabilityArgs(config, network, platform, store.uri, endpoint.url if endpoint else None),
    )
    return {
        "stack": config.stack,
        "cloud": config.cloud,
        "platform": config.platform,
        "environment": config.environment.name,
        "store_uri": store.uri,
        "tracking_uri": tracking.uri,
        "monitor_url": observability.monitor_url,
        "metrics_url": observability.metrics_url,
        "endpoint_url": endpoint.url if endpoint else None,
        "release": endpoint.release if endpoint else None,
        "log_retention_days": config.environment.log_retention_days,
    }
