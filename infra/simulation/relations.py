"""What one property of a resource demands of another."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from infra.simulation.paths import value_at, values_at
from infra.simulation.rules import Condition, Rule
from infra.simulation.schema import Problem
from infra.simulation.wire import contains_unknown, is_unknown

__all__ = ["relation_problems"]


def relation_problems(rule: Rule, inputs: dict[str, Any]) -> Iterator[Problem]:
    """Everything that doesn't fit together."""
    for path in rule.required:
        holder, _, name = path.rpartition(".")
        for place, value in values_at(inputs, holder):
            if isinstance(value, dict) and value.get(name) is None:
                yield Problem(_below(place, name), "is required and missing")
    yield from _listed(rule, inputs)
    for paths in rule.orders:
        yield from _ordered(paths, inputs)
    yield from _covered(rule, inputs)
    for path, name in rule.about.items():
        yield from _strayed(path, inputs.get(path), inputs.get(name))
    for condition in rule.conditions:
        for place, value in values_at(inputs, condition.at):
            yield from _conditional(condition, value, place)


def _listed(rule: Rule, inputs: dict[str, Any]) -> Iterator[Problem]:
    for path, (fewest, most) in rule.sizes.items():
        for place, value in values_at(inputs, path):
            if isinstance(value, list | dict) and not fewest <= len(value) <= most:
                yield Problem(place, f"has {len(value)} elements; {fewest} to {most} are allowed")
    for path, total in rule.sums.items():
        numbers = [value for _, value in values_at(inputs, path)]
        if numbers and not any(is_unknown(number) for number in numbers) and sum(map(float, numbers)) != total:
            yield Problem(path, f"{' + '.join(map(str, numbers))} is not {total}")
    for path, where in rule.among.items():
        known = [value for _, value in values_at(inputs, where)]
        for place, value in values_at(inputs, path):
            if not is_unknown(value) and value not in known:
                yield Problem(place, f"{value!r} is none of {where}: {', '.join(map(str, known)) or 'there are none'}")
    for path in rule.distinct:
        holder, _, rest = path.rpartition("[]")
        for place, elements in values_at(inputs, holder):
            found = [each for _, each in values_at({"at": elements}, f"at[]{rest}") if not is_unknown(each)]
            named = [each for each in found if isinstance(each, str | int | float)]
            for twice in sorted({each for each in named if named.count(each) > 1}, key=str):
                yield Problem(place, f"has {twice!r} more than once, and each needs another{rest.replace('.', ' ')}")


def _ordered(paths: list[str], inputs: dict[str, Any]) -> Iterator[Problem]:
    """The largest of each against the smallest of the next, in each element of the list that they are all in."""
    parts = [path.split(".") for path in paths]
    same = next((i for i, each in enumerate(zip(*parts, strict=False)) if len(set(each)) > 1), 0)
    shared, rests = ".".join(parts[0][:same]), [".".join(each[same:]) for each in parts]
    for place, holder in values_at(inputs, shared):
        given = [[value for _, value in values_at(holder, rest)] for rest in rests]
        numbers = [
            (rest, [float(v) for v in values]) for rest, values in zip(rests, given, strict=True) if _all_known(values)
        ]
        for (lower, low), (upper, high) in pairwise(numbers):
            if max(low) > min(high):
                yield Problem(
                    _below(place, lower), f"{max(low):g} is more than {_below(place, upper)}, which is {min(high):g}"
                )


def _all_known(values: list[Any]) -> bool:
    return bool(values) and not any(is_unknown(value) for value in values)


def _covered(rule: Rule, inputs: dict[str, Any]) -> Iterator[Problem]:
    for path, other in rule.covered.items():
        wanted, there = value_at(inputs, path), value_at(inputs, other) or {}
        if contains_unknown(wanted) or contains_unknown(there):
            continue
        for key, value in (wanted or {}).items():
            if there.get(key) != value:
                has = f"has {key}: {there[key]}" if key in there else f"has no {key}"
                yield Problem(path, f"{key}: {value} must be in {other} too, which {has}")


def _strayed(path: str, document: Any, name: Any) -> Iterator[Problem]:
    """A document about a thing may speak of this one alone, and of what is in it."""
    if not isinstance(document, str) or not isinstance(name, str):
        return
    try:
        statements = json.loads(document)["Statement"]
    except (ValueError, KeyError, TypeError):
        return  # others say so
    for statement in statements if isinstance(statements, list) else [statements]:
        resources = statement.get("Resource") or [] if isinstance(statement, dict) else []
        for resource in [resources] if isinstance(resources, str) else resources:
            about = str(resource).rpartition(":")[2].partition("/")[0]
            if about not in ("*", name) and "*" not in about:
                yield Problem(path, f"speaks of {resource!r}, and may speak of {name!r} alone")


def _conditional(condition: Condition, inputs: dict[str, Any], at: str) -> Iterator[Problem]:
    given = [value for _, value in values_at(inputs, condition.when) if not isinstance(value, dict | list)]
    if not any(re.fullmatch(condition.matches, _text(value)) for value in given if not is_unknown(value)):
        return
    for path in condition.needs:
        holder = inputs.get(re.split(r"[.\[{]", path)[0])
        if not contains_unknown(holder) and not list(values_at(inputs, path)):
            yield Problem(_below(at, path), condition.why)
    for path in condition.forbids:
        if found := list(values_at(inputs, path)):
            yield Problem(_below(at, found[0][0]), condition.why)
    for path, pattern in condition.demands.items():
        for place, value in values_at(inputs, path):
            if not is_unknown(value) and not re.fullmatch(pattern, _text(value)):
                yield Problem(_below(at, place), f"{_text(value)!r} {condition.why}")


def _text(value: Any) -> str:
    """As it is written in a program's configuration."""
    return value if isinstance(value, str) else json.dumps(value)


def _below(place: str, path: str) -> str:
    return f"{place}.{path}" if place else path
