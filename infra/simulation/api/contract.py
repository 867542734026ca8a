"""One operation's demands as a tree beside a resource's properties; it checks them and turns them into parameters."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import regex

from infra.simulation.api.written import written_problems
from infra.simulation.schema import Problem
from infra.simulation.wire import is_unknown

__all__ = ["Contract", "contract_problems", "parameters"]

SHOWN = 12


class Contract(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the service says of one member, and of what is in it."""

    kind: str  # structure, list, only (a list of one here, its element there), map, tags, json (text), string, …
    path: tuple[str, ...] = ()  # from the parent's members to this one
    wrapped: bool = False  # one object here, a list of one there
    pattern: str | None = None
    low: float | None = None  # a length or, of numbers, a value
    high: float | None = None
    enum: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    members: dict[str, "Contract"] = {}  # by the property's name
    of: tuple["Contract", ...] = ()  # a list's element, a map's value and key, a tag's key and value


def contract_problems(value: Any, contract: Contract, operation: str, path: str = "") -> Iterator[Problem]:
    """Everything that the operation would refuse; each sentence names it."""
    if value is None or is_unknown(value):
        return
    if contract.kind == "json":
        yield from written_problems(value, contract.of[0], operation, path, contract_problems)
        return
    for reason in _own_problems(value, contract):
        yield Problem(path, f"{reason} ({operation})")
    prefix = f"{path}." if path else ""
    if contract.kind == "structure" and isinstance(value, dict):
        for name in contract.required:
            if value.get(name) is None:
                yield Problem(f"{prefix}{name}", f"is required ({operation})")
        for name, member in contract.members.items():
            yield from contract_problems(value.get(name), member, operation, f"{prefix}{name}")
    elif contract.kind in ("list", "only") and isinstance(value, list):
        for index, element in enumerate(value):
            yield from contract_problems(element, contract.of[0], operation, f"{path}[{index}]")
    elif contract.kind == "map" and isinstance(value, dict):
        for key, element in value.items():
            yield from contract_problems(element, contract.of[0], operation, f"{prefix}{key}")
            for named in contract.of[1:]:
                yield from contract_problems(key, named, operation, f"{prefix}{key}")
    elif contract.kind == "tags" and isinstance(value, dict):
        for key, element in value.items():
            yield from contract_problems(key, contract.of[0], operation, f"{prefix}{key}")
            yield from contract_problems(element, contract.of[1], operation, f"{prefix}{key}")


def parameters(value: Any, contract: Contract) -> Any:
    """The properties as the operation's parameters; what it doesn't know is left out."""
    if value is None:
        return None
    if contract.kind == "json":
        return json.loads(value)
    if contract.kind == "structure" and isinstance(value, dict):
        built: dict[str, Any] = {}
        for name, member in contract.members.items():
            part = parameters(value.get(name), member)
            if part is not None:
                _place(built, member.path, [part] if member.wrapped else part)
        return built
    if contract.kind == "list" and isinstance(value, list):
        return [parameters(element, contract.of[0]) for element in value]
    if contract.kind == "only" and isinstance(value, list):
        return parameters(value[0], contract.of[0]) if value else None
    if contract.kind == "map" and isinstance(value, dict):
        return {key: parameters(element, contract.of[0]) for key, element in value.items()}
    if contract.kind == "tags" and isinstance(value, dict):
        names = [part.path[0] for part in contract.of]
        return [dict(zip(names, (key, str(element)), strict=True)) for key, element in value.items()]
    return _scalar(value, contract.kind)


def _place(built: dict[str, Any], path: tuple[str, ...], part: Any) -> None:
    for step in path[:-1]:
        built = built.setdefault(step, {})
    built[path[-1]] = part


def _scalar(value: Any, kind: str) -> Any:
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("float", "double"):
        return float(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else value == "true"
    if kind == "string" and not isinstance(value, str):
        return json.dumps(value) if isinstance(value, dict | list) else str(value)
    return value


def _own_problems(value: Any, contract: Contract) -> Iterator[str]:
    if isinstance(value, str) and contract.kind == "string":
        if contract.enum and value not in contract.enum:
            more = f", … ({len(contract.enum)} in all)" if len(contract.enum) > SHOWN else ""
            yield f"{value!r} is not one of {', '.join(contract.enum[:SHOWN])}{more}"
        elif contract.pattern and not _matches(contract.pattern, value):
            yield f"{value!r} doesn't match {contract.pattern}"
        yield from _size_problems(len(value), contract, "characters")
    elif contract.kind in ("list", "only") and isinstance(value, list):
        yield from _size_problems(len(value), contract, "elements")
    elif isinstance(value, int | float) and not isinstance(value, bool) and contract.kind not in ("string", "list"):
        yield from _size_problems(value, contract, "")


def _size_problems(size: float, contract: Contract, unit: str) -> Iterator[str]:
    measured = f"has {size} {unit}" if unit else f"{size}"
    if contract.low is not None and size < contract.low:
        yield (
            f"{measured}, and at least {contract.low:g} are needed"
            if unit
            else f"{measured} is less than {contract.low:g}"
        )
    if contract.high is not None and size > contract.high:
        yield f"{measured}; {contract.high:g} are allowed" if unit else f"{measured} is more than {contract.high:g}"


def _matches(pattern: str, value: str) -> bool:
    compiled = _compile(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


@cache
def _compile(pattern: str) -> regex.Pattern[str] | None:
    """The models' patterns are Java's; None for the few that name halves of characters and so mean nothing here."""
    try:
        return regex.compile(pattern)
    except regex.error:
        return None
