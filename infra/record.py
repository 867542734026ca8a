"""Say in the environment's ledger what its endpoint serves: a resource, so that `up` says it, and never a preview.

The same on every cloud: its inputs are what the endpoint's resources say when the release serves. The provider is
pickled into the state, so what it does is imported when it runs.

Its output `ledger` keeps in the engine's state how far the ledger went: who can write to the store can't write there.
Every `up` that finds new entries moves it on.
"""

import time
from typing import Any, Final

import pulumi
from pulumi import dynamic
from pulumi.runtime import invoke

from infra.config import StackConfig
from infra.contracts import Endpoint

__all__ = ["DeploymentRecord", "recorded_head"]

Properties = dict[str, Any]
READINGS: Final = 20
READ_AGAIN_S: Final = 0.1


class _Recorder(dynamic.ResourceProvider):
    serialize_as_secret_always = False

    def diff(self, _id: str, _olds: Properties, _news: Properties) -> dynamic.DiffResult:
        from infra.release import PROJECT
        from ml.release.deployed import newest

        changed = any(_news[key] != _olds.get(key) for key in _news if not key.startswith("__"))
        goes_on = newest(_olds["store_uri"], _olds["stack"], _olds["environment"], PROJECT) != _olds.get("ledger")
        return dynamic.DiffResult(changes=changed or goes_on)

    def create(self, props: Properties) -> dynamic.CreateResult:
        from infra.release import PROJECT
        from ml.release.deployed import record_deployed

        where = (props["store_uri"], props["stack"], props["environment"])
        head = record_deployed(*where, props["release"], props["url"], PROJECT)
        return dynamic.CreateResult("deployed", props | {"ledger": head})

    def update(self, _id: str, _olds: Properties, _news: Properties) -> dynamic.UpdateResult:
        return dynamic.UpdateResult(self.create(_news).outs)

    def delete(self, _id: str, _props: Properties) -> None:
        from infra.release import PROJECT
        from ml.release.deployed import record_undeployed

        record_undeployed(_props["store_uri"], _props["stack"], _props["environment"], PROJECT)


class DeploymentRecord(dynamic.Resource, module="release", name="DeploymentRecord"):
    """The ledger's entry that the endpoint serves its release, and on deletion that it no longer does."""

    ledger: pulumi.Output[str]

    def __init__(self, name: str, config: StackConfig, store_uri: pulumi.Input[str], endpoint: Endpoint) -> None:
        properties = {
            "store_uri": store_uri,
            "stack": config.stack,
            "environment": config.environment.name,
            "release": endpoint.release,
            "url": endpoint.url,
            "ledger": None,  # an output
        }
        protected = pulumi.ResourceOptions(protect=config.environment.is_protected)
        super().__init__(_Recorder(), name, properties, protected)


def recorded_head() -> str | None:
    """The ledger's head when the stack was last brought up, as the engine's state says; None before that.

    The engine writes a state that is a file while the program runs: one that is half written is read again. RunError
    when it stays unreadable, for a ledger must not be believed because nobody could be asked.
    """
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    failure: Exception | None = None
    for _ in range(READINGS):
        try:
            answer = invoke("pulumi:pulumi:readStackOutputs", {"name": stack}).value or {}
            return (answer.get("outputs") or {}).get("ledger_head")
        except Exception as error:  # the SDK has no narrower one
            failure = error
            time.sleep(READ_AGAIN_S)
    raise pulumi.RunError(f"The engine can't read what its state of {stack} says of the ledger: {failure}. Try again.")
