"""Types of properties as data, and the check of a value against one."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from infra.simulation.wire import is_asset, is_unknown

__all__ = ["FunctionSchema", "Problem", "Property", "ResourceSchema", "Type", "problems"]

SCALARS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
ENUM_SHOWN = 12


class Type(msgspec.Struct, frozen=True, omit_defaults=True):
    """One type; `kind` is a scalar's name, `any`, `list`, `map`, `object`, `enum` or `union`."""

    kind: str
    of: tuple["Type", ...] = ()  # a list's and a map's element; a union's members
    values: tuple[str | int | float, ...] = ()  # an enum's
    properties: dict[str, "Property"] = {}  # an object's, by the engine's name


class Property(msgspec.Struct, frozen=True, omit_defaults=True):
    """A property of a resource or of an object in it."""

    type: Type
    required: bool = False
    replaces: bool = False  # its documentation says that a change makes a new resource


class ResourceSchema(msgspec.Struct, frozen=True):
    """A resource type: what a program may set, and what is known once it exists."""

    token: str
    inputs: dict[str, Property]
    outputs: tuple[str, ...]
    secrets: frozenset[str] = frozenset()  # outputs that the SDK says are


class FunctionSchema(msgspec.Struct, frozen=True):
    """A function of an SDK: what it takes."""

    token: str
    inputs: dict[str, Property]


class Problem(NamedTuple):
    """What is wrong, and where: `lifecycleRules[0].status`."""

    path: str
    reason: str


def problems(value: Any, type_: Type, path: str = "") -> Iterator[Problem]:
    """Everything in `value` that `type_` doesn't allow; what isn't known before it is created is allowed."""
    if value is None or is_unknown(value) or type_.kind == "any":
        return
    if type_.kind == "union":
        findings = [list(problems(value, member, path)) for member in type_.of]
        if all(findings):
            yield from min(findings, key=len)
    elif type_.kind == "enum":
        if value not in type_.values:
            yield Problem(path, f"{value!r} is not one of {_listed(value, type_.values)}")
    elif type_.kind == "asset" and is_asset(value):
        return
    elif type_.kind == "list" and isinstance(value, list):
        for index, element in enumerate(value):
            yield from problems(element, type_.of[0], f"{path}[{index}]")
    elif type_.kind in ("map", "object") and isinstance(value, dict):
        yield from _mapping_problems(value, type_, path)
    elif not _is_scalar(value, type_.kind):
        yield Problem(path, f"must be {_named(type_.kind)}, not {_shown(value)}")


def _mapping_problems(value: dict[str, Any], type_: Type, path: str) -> Iterator[Problem]:
    prefix = f"{path}." if path else ""
    if type_.kind == "map":
        for key, element in value.items():
            yield from problems(element, type_.of[0], f"{prefix}{key}")
        return
    for key, element in value.items():
        if known := type_.properties.get(key):
            yield from problems(element, known.type, f"{prefix}{key}")
        elif not key.startswith("__"):
            yield Problem(f"{prefix}{key}", f"there is no such property{_nearest(key, type_.properties)}")
    for key, known in type_.properties.items():
        if known.required and value.get(key) is None:
            yield Problem(f"{prefix}{key}", "is required and missing")


def _is_scalar(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    # The engine turns what is a number on the wire into text where text is asked for, and the other way round.
    if isinstance(value, str) and kind in ("integer", "number", "boolean"):
        pattern = {"integer": r"-?\d+", "number": r"-?\d+(\.\d+)?", "boolean": "true|false"}[kind]
        return re.fullmatch(pattern, value) is not None
    if isinstance(value, int | float) and kind == "string":
        return True
    return isinstance(value, SCALARS.get(kind, ()))


def _nearest(key: str, known: Mapping[str, Property]) -> str:
    near = difflib.get_close_matches(_camel(key), known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {_snake(near[0])!r}?"
    return f"; there are {', '.join(_snake(name) for name in sorted(known)[:ENUM_SHOWN])}" if known else ""


def _listed(value: Any, values: tuple[Any, ...]) -> str:
    near = difflib.get_close_matches(str(value), [str(each) for each in values], n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    more = f", … ({len(values)} in all)" if len(values) > ENUM_SHOWN else ""
    return ", ".join(repr(each) for each in values[:ENUM_SHOWN]) + more + hint


def _named(kind: str) -> str:
    names = {
        "string": "a text",
        "list": "a list",
        "map": "a mapping",
        "object": "an object",
        "boolean": "true or false",
        "asset": "a file or archive",
    }
    return names.get(kind, f"an {kind}" if kind[0] in "aeiou" else f"a {kind}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: f"_{match[1].lower()}", name)
