"""Say in the environment's ledger what its endpoint serves: a resource, so that `up` says it, and never a preview.

The same on every cloud: its inputs are what the endpoint's resources say when the release serves. The provider is
pickled into the state, so what it does is imported when it runs.
"""

from typing import Any

import pulumi
from pulumi import dynamic

from infra.config import StackConfig
from infra.contracts import Endpoint

__all__ = ["DeploymentRecord"]

Properties = dict[str, Any]


class _Recorder(dynamic.ResourceProvider):
    serialize_as_secret_always = False

    def diff(self, _id: str, _olds: Properties, _news: Properties) -> dynamic.DiffResult:
        changed = any(_news[key] != _olds.get(key) for key in _news if not key.startswith("__"))
        return dynamic.DiffResult(changes=changed)

    def create(self, props: Properties) -> dynamic.CreateResult:
        from infra.release import PROJECT
        from ml.release.deployed import record_deployed

        where = (props["store_uri"], props["stack"], props["environment"])
        record_deployed(*where, props["release"], props["url"], PROJECT)
        return dynamic.CreateResult("deployed", props)

    def update(self, _id: str, _olds: Properties, _news: Properties) -> dynamic.UpdateResult:
        return dynamic.UpdateResult(self.create(_news).outs)

    def delete(self, _id: str, _props: Properties) -> None:
        from infra.release import PROJECT
        from ml.release.deployed import record_undeployed

        record_undeployed(_props["store_uri"], _props["stack"], _props["environment"], PROJECT)


class DeploymentRecord(dynamic.Resource, module="release", name="DeploymentRecord"):
    """The ledger's entry that the endpoint serves its release, and on deletion that it no longer does."""

    def __init__(self, name: str, config: StackConfig, store_uri: pulumi.Input[str], endpoint: Endpoint) -> None:
        properties = {
            "store_uri": store_uri,
            "stack": config.stack,
            "environment": config.environment.name,
            "release": endpoint.release,
            "url": endpoint.url,
        }
        protected = pulumi.ResourceOptions(protect=config.environment.is_protected)
        super().__init__(_Recorder(), name, properties, protected)
