"""What an environment consists of, whatever the cloud."""

from collections.abc import Callable
from typing import Any

import pulumi

from infra import clouds, release
from infra.config import StackConfig
from infra.contracts import (
    AlertsArgs,
    BudgetArgs,
    Cloud,
    EndpointArgs,
    Foundation,
    IdentityArgs,
    ImageRegistryArgs,
    JobsArgs,
    KeysArgs,
    NetworkArgs,
    ObjectStoreArgs,
    ObservabilityArgs,
    Outputs,
    PlatformArgs,
    TrackingArgs,
)
from infra.record import DeploymentRecord, recorded_head

__all__ = ["Check", "compose"]

Check = Callable[[StackConfig, str], str | None]


def compose(config: StackConfig, check: Check | None = None) -> Outputs:
    """Create the environment; the outputs are the fields of `ml.runtime.Runtime`.

    `check` is asked for the pinned release in the store; only an estimate, which deploys nothing, has one of its own.
    """
    cloud = clouds.load(config)
    store_uri = cloud.store_uri(config)
    pinned = check(config, store_uri) if check else release.check(config, store_uri, recorded=recorded_head)
    options = cloud.options(config)
    base = _foundation(config, cloud, options)
    platform = cloud.platform("platform", PlatformArgs(config, base), options)
    tracking = cloud.tracking("tracking", TrackingArgs(config, base, platform), options)
    jobs = cloud.jobs("jobs", JobsArgs(config, base, platform, tracking), options)
    endpoint = record = None
    if pinned:
        endpoint = cloud.endpoint("endpoint", EndpointArgs(config, base, platform, tracking, pinned), options)
        record = DeploymentRecord("release-record", config, base.store.uri, endpoint)
    observed = ObservabilityArgs(config, base, platform, tracking, endpoint)
    observability = cloud.observability("observability", observed, options)
    cloud.budget("budget", BudgetArgs(config, base.alerts), options)
    return {
        "stack": config.stack,
        "cloud": config.cloud,
        "platform": config.platform,
        "environment": config.environment.name,
        "store_uri": base.store.uri,
        "tracking_uri": tracking.uri,
        "monitor_url": observability.monitor_url,
        "metrics_url": observability.metrics_url,
        "endpoint_url": endpoint.url if endpoint else None,
        "release": endpoint.release if endpoint else None,
        "training_job": jobs.training,
        "scoring_job": jobs.scoring,
        "job_queue": jobs.queue,
        "model_registry": tracking.models,
        "image_repository": base.images.repository,
        "approvals_required": config.environment.approvals_required,
        "log_retention_days": config.environment.log_retention_days,
        "ledger_head": record.ledger if record else None if check else recorded_head(),  # never forgotten
    }


def _foundation(config: StackConfig, cloud: Cloud[Any, Any], options: pulumi.ResourceOptions | None) -> Foundation[Any]:
    keys = cloud.keys("keys", KeysArgs(config), options)
    network = cloud.network("network", NetworkArgs(config, keys), options)
    alerts = cloud.alerts("alerts", AlertsArgs(config, keys), options)
    store = cloud.object_store("store", ObjectStoreArgs(config, network, keys), options)
    images = cloud.image_registry("images", ImageRegistryArgs(config, keys), options)
    identity = cloud.identity("identity", IdentityArgs(config, network, keys, store, images), options)
    return Foundation(config, keys, network, alerts, store, images, identity)
