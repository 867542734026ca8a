"""The project's program in this process, on a simulated account: every resource as the engine would hand it to rules.

Neither an engine nor a provider's process: a stack takes a second, and the same one answers many questions.
"""

import copy
import json
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi.runtime import mocks
from pulumi.runtime.proto import resource_pb2

from infra import blueprint, release
from infra.config import StackConfig
from infra.engine.environ import PROJECT
from infra.policies.check import environment_of
from infra.policies.rule import UNKNOWN, Resource
from infra.simulation import lifecycle, wire
from infra.simulation.account import Account, Thing
from infra.simulation.faults import Faults
from infra.simulation.lifecycle import Operation, Refused
from infra.simulation.schema import installed_packages
from infra.simulation.settings import Settings
from infra.simulation.world import World
from tests.mocked_engine import run_program

__all__ = ["DIGEST", "RUN", "Monitor", "Planned", "compose", "plan", "refusals", "stated"]

DIGEST = "sha256:" + "a" * 64
RUN = "run"


@dataclass(frozen=True)
class Planned:
    """A stack: its resources, and those that need each of them."""

    stack: str
    resources: list[Resource]
    account: Path  # the folder of the simulated account that they were made in
    settings: Mapping[str, Settings]  # of each provider, by package
    users: Mapping[str, frozenset[str]]  # name → names of the resources that depend on it


def stated(stack: str, **values: Any) -> dict[str, str]:
    """The values of a shipped stack's file, as the engine hands them over."""
    content = yaml.safe_load((PROJECT / "stacks" / f"Pulumi.{stack}.yaml").read_text())["config"]
    given = {key: value for key, value in (content | values).items() if value is not None}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}


def plan(stack: str, folder: Path, *, preview: bool = False, released: bool = True, **values: Any) -> Planned:
    """A shipped stack, all values known; with `preview` only those that a preview knows."""
    monitor = Monitor(stack, folder, preview=preview)
    compose(monitor, released=DIGEST if released else None, **values)
    return Planned(stack, monitor.seen, folder, monitor.providers, monitor.users())


def compose(monitor: "Monitor", *, released: str | None, **values: Any) -> None:
    """Run the project's program for a shipped stack with these values, `released` pinned and allowed."""
    pins = {"mlops:release": released, "mlops:image": DIGEST} if released else {}
    config = StackConfig.parse(monitor.stack, stated(monitor.stack, **pins, **values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "check", lambda *_, **__: released)
        patch.setattr(lifecycle, "random", monitor.seeds)

        async def program() -> None:
            blueprint.compose(config)

        run_program(program, monitor, monitor.stack, monitor.world.folder, preview=monitor.preview)


def refusals(planned: Planned, changed: Sequence[Resource]) -> list[str]:
    """What the simulated cloud says to a program with these resources in place of the planned ones.

    What is changed is changed over the account, which stays as it is; what is gone goes, and what depends on either is
    asked again.
    """
    before = {resource.urn: resource for resource in planned.resources}  # two of different types may share a name
    after = {resource.urn: resource for resource in changed}
    differing = {urn for urn in before.keys() | after.keys() if before.get(urn) != after.get(urn)}
    names = {urn.rpartition("::")[2] for urn in differing}
    users = {user for name in names for user in planned.users.get(name, ())}
    world = _WhatIf(planned.account, Faults([]))
    account = world.account(planned.stack, RUN)
    made = {thing.urn: thing for thing in account.things()}
    for urn in differing - after.keys():
        if thing := made.get(urn):
            account.remove(thing)
    asked = [resource for resource in changed if resource.urn in differing or resource.name in users]
    return [said for resource in asked for said in _said(planned, resource, world, made)]


def _said(planned: Planned, resource: Resource, world: World, made: Mapping[str, Any]) -> list[str]:
    package = resource.type.partition(":")[0]
    if package not in planned.settings:
        return []
    inputs = copy.deepcopy(dict(resource.properties))
    try:
        operation = Operation.of(
            world, planned.settings[package], resource.type, resource.urn, (planned.stack, RUN), preview=False
        )
        thing = made.get(resource.urn)
        inputs, found = operation.check(thing.inputs if thing else {}, inputs, b"1")
        if found:
            return [f"{resource.name}: {each.path}: {each.reason}" for each in found]
        if thing is None:
            operation.create(inputs, frozenset())
        else:
            operation.update(thing.id, thing.inputs | thing.outputs, inputs, frozenset())
    except Refused as error:
        return [str(error)]
    return []


class _InMemory(Account):
    """What is changed stays here; the file, which others read, stays as it is."""

    @contextmanager
    def _changing(self) -> Generator[dict[str, Thing]]:
        yield self._current()


class _WhatIf(World):
    """Accounts in which something else is tried."""

    def account(self, stack: str, run: str) -> Account:
        if (stack, "") not in self._accounts:
            self._accounts[stack, ""] = _InMemory(self.folder / f"{stack}.json")
        return self._accounts[stack, ""]


class _Nothing(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise AssertionError(args.typ)

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        if args.token == "pulumi:pulumi:readStackOutputs":  # noqa: S105 # no secret; no stack was up before
            return {"outputs": {}}
        raise AssertionError(f"{args.token} has no answer here")


class _Seeds(threading.local):
    """In place of `secrets`: what an account makes up for a resource is the same in each run."""

    urn = ""

    def token_hex(self, count: int) -> str:
        return sha256(self.urn.encode()).hexdigest()[: 2 * count]


class Monitor(mocks.MockMonitor):
    """What the engine does with a registration: the provider checks and creates it."""

    def __init__(self, stack: str, folder: Path, *, preview: bool) -> None:
        super().__init__(_Nothing())
        self.stack, self.preview = stack, preview
        self.world = World(folder, Faults([]))
        self.providers = {package: Settings.of(package, {}) for package in installed_packages()}
        self.seeds = _Seeds()
        self.seen: list[Resource] = []
        self.needs: dict[str, frozenset[str]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 # the protocol's name
        if request.type == "pulumi:pulumi:Stack":
            return super().RegisterResource(request)
        urn = self.make_urn(request.parent, request.type, request.name)
        given = wire.decode(request.object)
        given.pop("__provider", None)
        identifier, outputs = self._make(urn, request, given)
        sources = {key: _names(each.urns) for key, each in request.propertyDependencies.items()}
        self.needs[request.name] = _names(request.dependencies)
        self.seen.append(
            Resource(
                type=request.type,
                name=request.name,
                properties=_ours(given),
                environment=environment_of(self.stack),
                is_protected=request.protect,
                sources=sources,
                urn=urn,
            )
        )
        return resource_pb2.RegisterResourceResponse(urn=urn, id=identifier, object=wire.encode(outputs))

    def _make(self, urn: str, request: Any, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if request.type.startswith("pulumi:providers:"):
            self.configure(request.type, given)
        if not request.custom or not self.is_simulated(request.type):
            return f"{request.name}-id", given | {"serving": given.get("release")}
        return self._done(urn, request, given)

    def is_simulated(self, type_: str) -> bool:
        """Whether a resource of this type is made in the account."""
        return type_.partition(":")[0] in self.providers

    def configure(self, type_: str, given: dict[str, Any]) -> None:
        """A provider of the program's own."""
        package = type_.rpartition(":")[2]
        self.providers[package] = Settings.of(package, given)

    def operation(self, type_: str, urn: str) -> Operation:
        """What the provider does with a resource of this run."""
        settings = self.providers[type_.partition(":")[0]]
        return Operation.of(self.world, settings, type_, urn, (self.stack, RUN), preview=self.preview)

    def create(self, type_: str, urn: str, inputs: dict[str, Any], seed: str = "") -> tuple[str, dict[str, Any]]:
        """Its id and outputs; what is made up comes from its name, and from `seed`."""
        self.seeds.urn = urn + seed
        return self.operation(type_, urn).create(inputs, frozenset())

    def checked(self, type_: str, urn: str, old: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """The inputs as the provider takes them; Refused where it doesn't."""
        inputs, found = self.operation(type_, urn).check(old, given, b"1")
        if found:
            raise Refused(f"{urn.rpartition('::')[2]}: {found}")
        return inputs

    def _done(self, urn: str, request: Any, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return self.create(request.type, urn, self.checked(request.type, urn, {}, given))

    def users(self) -> dict[str, frozenset[str]]:
        """name → names of those that need it."""
        found: dict[str, set[str]] = {}
        for name, needed in self.needs.items():
            for each in needed:
                found.setdefault(each, set()).add(name)
        return {name: frozenset(users) for name, users in found.items()}


def _names(urns: Any) -> frozenset[str]:
    return frozenset(urn.rpartition("::")[2] for urn in urns)


def _ours(value: Any) -> Any:
    """With the mark that rules know for what isn't known yet."""
    if isinstance(value, dict):
        return {key: _ours(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_ours(each) for each in value]
    return UNKNOWN if wire.is_unknown(value) else value
