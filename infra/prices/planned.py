"""What a stack's program would make, planned in this process: the program itself, and Pulumi's own double of an engine.

A release need not be there: a stack without one is planned as if one were pinned, for that is what costs.
"""

import asyncio
import gc
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.runtime import mocks, sync_await
from pulumi.runtime.stack import run_pulumi_func

from infra import blueprint
from infra.config import StackConfig

__all__ = ["Resource", "planned"]

AS_IF = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Resource:
    """One resource: its type without the cloud, its logical name, its properties as the engine names them."""

    type: str
    name: str
    inputs: dict[str, Any]


class _Recorder(mocks.Mocks):
    def __init__(self) -> None:
        self.resources: list[Resource] = []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        package, _, type_ = args.typ.partition(":")
        if package not in ("pulumi", "mlops", "pulumi-python"):
            self.resources.append(Resource(type_, args.name, args.inputs))
        if package == "databricks":  # its ids are numbers
            ids = ("workspaceId", "applicationId", "policyId", "servingEndpointId", "workspaceUrl", "volumePath")
            return "1", dict.fromkeys(ids, "1") | args.inputs
        known = ("arn", "keyId", "prefixListId", "functionUrl", "repositoryUrl", "version")
        return f"{args.name}-id", {name: f"{args.name}-{name}" for name in known} | args.inputs

    def call(self, args: mocks.MockCallArgs) -> Any:
        return {}


def planned(config: StackConfig) -> list[Resource]:
    """All resources of the stack with a release that is served, without a challenger."""
    pins = {"release": config.release or AS_IF, "image": config.image or AS_IF, "challenger": None}
    served, recorder = config.model_copy(update=pins), _Recorder()
    asyncio.set_event_loop(asyncio.new_event_loop())
    mocks.set_mocks(recorder, project="mlops", stack=config.stack)

    async def program() -> None:
        for name, value in blueprint.compose(served, lambda pinned, _store: pinned.release).items():
            pulumi.export(name, value)

    gc.disable()  # what the program makes lives until its end: half the time
    try:
        sync_await._sync_await(run_pulumi_func(program))  # pyright: ignore[reportPrivateUsage] # what the SDK's tests use
    finally:
        gc.enable()
    return recorder.resources
