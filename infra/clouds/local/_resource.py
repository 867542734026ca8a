"""The thin shell around local resources: it is pickled into the state, so what it does is imported when it runs."""

import importlib
from typing import Any, Protocol

import pulumi
from pulumi import dynamic

__all__ = ["Deployment", "Folder", "Ports", "Program", "Supervisor"]

Properties = dict[str, Any]


class Implementation(Protocol):
    """A module that makes one kind of real thing; properties are JSON values, numbers arrive as floats."""

    replaced_by: tuple[str, ...]  # the properties whose change needs a new thing

    def refuse(self, old: Properties, new: Properties) -> dict[str, str]:
        """The properties that can't be had, each with a sentence; called before anything is changed."""
        ...

    def create(self, new: Properties) -> tuple[str, Properties]:
        """Make it: its id and outputs."""
        ...

    def read(self, identifier: str, state: Properties) -> Properties | None:
        """Look at the real thing: its outputs, None when it is gone."""
        ...

    def update(self, identifier: str, old: Properties, new: Properties) -> Properties:
        """Change it in place: its new outputs."""
        ...

    def delete(self, identifier: str, state: Properties) -> None:
        """End it; nothing happens when it is gone already."""
        ...


class _Shell(dynamic.ResourceProvider):
    serialize_as_secret_always = False

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    @property
    def _implementation(self) -> Implementation:
        return importlib.import_module(f"infra.clouds.local._{self.kind}")  # pyright: ignore[reportReturnType]

    def check(self, _olds: Properties, news: Properties) -> dynamic.CheckResult:
        refused = self._implementation.refuse(_olds, news)
        return dynamic.CheckResult(news, [dynamic.CheckFailure(key, why) for key, why in refused.items()])

    def diff(self, _id: str, _olds: Properties, _news: Properties) -> dynamic.DiffResult:
        changed = [key for key in _news if not key.startswith("__") and _news[key] != _olds.get(key)]
        replaces = [key for key in changed if key in self._implementation.replaced_by]
        strays = getattr(self._implementation, "has_strayed", None)  # only of what others can change under way
        changes = bool(changed) or (strays is not None and strays(_id, _olds))
        return dynamic.DiffResult(changes=changes, replaces=replaces, delete_before_replace=True)

    def create(self, props: Properties) -> dynamic.CreateResult:
        identifier, outputs = self._implementation.create(props)
        return dynamic.CreateResult(identifier, props | outputs)

    def read(self, id_: str, props: Properties) -> dynamic.ReadResult:
        outputs = self._implementation.read(id_, props)
        return dynamic.ReadResult("", {}) if outputs is None else dynamic.ReadResult(id_, props | outputs)

    def update(self, _id: str, _olds: Properties, _news: Properties) -> dynamic.UpdateResult:
        return dynamic.UpdateResult(_news | self._implementation.update(_id, _olds, _news))

    def delete(self, _id: str, _props: Properties) -> None:
        self._implementation.delete(_id, _props)


class _LocalResource(dynamic.Resource):
    """A real thing on this machine, made by the module `infra.clouds.local._<kind>`; annotations name its outputs."""

    def __init__(self, name: str, props: pulumi.Inputs, opts: pulumi.ResourceOptions) -> None:
        outputs = dict.fromkeys(type(self).__annotations__)
        super().__init__(_Shell(type(self).__name__.lower()), name, dict(props) | outputs, opts)


class Ports(_LocalResource, module="local", name="Ports"):
    """The ports of an environment, free when it is created."""

    host: pulumi.Output[str]


class Folder(_LocalResource, module="local", name="Folder"):
    """A folder that keeps its data when it is destroyed."""

    uri: pulumi.Output[str]


class Supervisor(_LocalResource, module="local", name="Supervisor"):
    """supervisord; its id is the environment's root."""


class Program(_LocalResource, module="local", name="Program"):
    """A program that the supervisor keeps running."""

    url: pulumi.Output[str]


class Deployment(_LocalResource, module="local", name="Deployment"):
    """The release that the model server serves."""

    serving: pulumi.Output[str]
