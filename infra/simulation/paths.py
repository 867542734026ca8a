"""Paths into properties: `subnetIds[]` finds every element, `labels.*` every value, `policy{}` is JSON text."""

import json
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["below", "changes", "put_at", "replace_at", "shared", "texts", "value_at", "values_at", "without_indices"]


def values_at(value: Any, path: str, found: str = "") -> Iterator[tuple[str, Any]]:
    """The places and values that the path leads to; nothing where there is none."""
    if path == "":
        if value is not None:
            yield found, value
        return
    head, _, rest = path.partition(".")
    if head == "*":
        for key, each in value.items() if isinstance(value, dict) else ():
            yield from values_at(each, rest, f"{found}.{key}")
        return
    name, braces, _ = head.partition("{")
    if braces and isinstance(value, dict):
        parsed = _parsed(value.get(name))
        yield from values_at(parsed, rest, f"{found}.{name}" if found else name) if parsed is not None else ()
        return
    name, brackets, _ = head.partition("[")
    here = value.get(name) if isinstance(value, dict) else None
    prefix = f"{found}.{name}" if found else name
    if brackets and isinstance(here, list):
        for index, element in enumerate(here):
            yield from values_at(element, rest, f"{prefix}[{index}]")
    elif not brackets:
        yield from values_at(here, rest, prefix)


def value_at(value: Any, path: str) -> Any:
    """The one value at a path of plain names; None where there is none."""
    return next((each for _, each in values_at(value, path)), None)


def below(place: str, path: str) -> str:
    """The path from a place on."""
    return f"{place}.{path}" if place else path


def shared(paths: list[str]) -> tuple[str, list[str]]:
    """The path that all have in common, and what is left of each: `a[].b`, `a[].c` → `a[]`, [`b`, `c`]."""
    parts = [path.split(".") for path in paths]
    same = next((i for i, each in enumerate(zip(*parts, strict=False)) if len(set(each)) > 1), 0)
    return ".".join(parts[0][:same]), [".".join(each[same:]) for each in parts]


def _parsed(text: Any) -> Any:
    """What the JSON says; None where it is none, which others say."""
    try:
        return json.loads(text) if isinstance(text, str) else None
    except json.JSONDecodeError:
        return None


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in the properties, with its place."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from texts(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from texts(each, f"{path}[{index}]")


def changes(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The places that differ, each `added`, `deleted` or `updated`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if not key.startswith("__"):
                yield from changes(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from changes(before, after, f"{path}[{index}]")
    elif old != new:
        yield path, "added" if old is None else "deleted" if new is None else "updated"


def replace_at(value: Any, path: str, new: Any) -> None:
    """Put another value at a place that the properties have; one that they don't have is left alone."""
    *steps, last = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)]
    for step in steps:
        if not _has(value, step):
            return
        value = value[step]
    if _has(value, last):
        value[last] = new


def put_at(value: dict[str, Any], path: str, new: Any) -> dict[str, Any]:
    """A copy with another value at a path of plain names; unchanged where what should hold it is no mapping."""
    name, _, rest = path.partition(".")
    if not rest:
        return value | {name: new}
    inner = value.get(name, {})
    return value | {name: put_at(inner, rest, new)} if isinstance(inner, dict) else value


def _has(value: Any, step: str | int) -> bool:
    return step in value if isinstance(value, dict) else isinstance(value, list) and step in range(len(value))


def without_indices(path: str) -> str:
    """`rules[2].status` → `rules.status`."""
    return re.sub(r"\[\d*\]", "", path)
