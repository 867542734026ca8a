"""The contract of a service whose published client says it by Python's own types: the methods of `databricks-sdk`.

What is made of them looks like botocore's shapes, so that both are compiled by the same code.
"""

import dataclasses
import enum
import importlib
import inspect
import types
import typing
from functools import cached_property
from typing import Any

__all__ = ["Shape", "of_method"]

KINDS: dict[Any, str] = {str: "string", int: "integer", float: "float", bool: "boolean"}


class Shape:
    """One type; `members` are looked at when they are asked for, as a type may be part of itself."""

    def __init__(self, hint: Any) -> None:
        self._hint = _without_none(hint)
        self._of = typing.get_args(self._hint)
        self.name = getattr(self._hint, "__name__", str(self._hint))
        self.metadata: dict[str, Any] = {}
        self.type_name = self._kind()
        if inspect.isclass(self._hint) and issubclass(self._hint, enum.Enum):
            self.metadata["enum"] = [member.value for member in self._hint]

    def _kind(self) -> str:
        origin = typing.get_origin(self._hint)
        if origin is list:
            return "list"
        if origin is dict:
            return "map"
        if dataclasses.is_dataclass(self._hint):
            return "structure"
        return KINDS.get(self._hint, "string" if inspect.isclass(self._hint) else "unlike")

    @cached_property
    def members(self) -> dict[str, "Shape"]:
        """A structure's."""
        if self.type_name != "structure":
            return {}
        return {name: Shape(hint) for name, hint in typing.get_type_hints(self._hint).items()}

    @cached_property
    def required_members(self) -> list[str]:
        """Those without a default."""
        fields: Any = dataclasses.fields(self._hint) if self.type_name == "structure" else ()
        return [f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]

    @cached_property
    def member(self) -> "Shape":
        """A list's element."""
        return Shape(self._of[0])

    @cached_property
    def value(self) -> "Shape":
        """A map's."""
        return Shape(self._of[1])


class _Call(Shape):
    """What a method takes."""

    def __init__(self, name: str, method: Any) -> None:
        super().__init__(dict[str, str])
        self.name, self.type_name = name, "structure"
        hints = typing.get_type_hints(method)
        parameters = [p for p in inspect.signature(method).parameters.values() if p.name in hints]
        self.members = {p.name: Shape(hints[p.name]) for p in parameters}  # pyright: ignore[reportIncompatibleMethodOverride]
        self.required_members = [p.name for p in parameters if p.default is inspect.Parameter.empty]  # pyright: ignore[reportIncompatibleMethodOverride]


def of_method(service: str, name: str) -> Shape:
    """The input of `CatalogsAPI.create` in `databricks.sdk.service.catalog`."""
    class_name, _, method = name.partition(".")
    module = importlib.import_module(f"databricks.sdk.service.{service}")
    return _Call(name, getattr(getattr(module, class_name), method))


def _without_none(hint: Any) -> Any:
    """`Optional[X]` is X: what may be left out is said by the default."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [each for each in typing.get_args(hint) if each is not type(None)]
        return members[0] if len(members) == 1 else hint
    return hint
