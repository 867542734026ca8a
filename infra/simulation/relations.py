"""What one property of a resource demands of another."""

import json
import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from infra.simulation.paths import below, shared, value_at, values_at
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
                yield Problem(below(place, name), "is required and missing")
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
    for path, totals in rule.sums.items():
        numbers = [value for _, value in values_at(inputs, path)]
        if numbers and not any(is_unknown(number) for number in numbers) and sum(map(float, numbers)) not in totals:
            yield Problem(path, f"{' + '.join(map(str, numbers))} is not {' or '.join(map(str, totals))}")
    for path, where in rule.among.items():
        known = [value for _, value in values_at(inputs, where)]
        for place, value in values_at(inputs, path):
            if not is_unknown(value) and value not in known:
                yield Problem(place, f"{value!r} is none of {where}: {', '.join(map(str, known)) or 'there are none'}")
    for path in rule.distinct:
        holder, _, rest = path.rpartition("[]")
        for place, elements in values_at(inputs, holder):
            named = list(_named(elements, rest.removeprefix(".").split("+")))
            for twice in sorted({each for each in named if named.count(each) > 1}):
                yield Problem(place, f"has {twice} more than once, and each needs another{rest.translate(WORDS)}")
    for path in rule.several:
        holder, _, name = path.rpartition("[].")
        for place, elements in values_at(inputs, holder):
            for index, each in enumerate(elements) if len(elements) > 1 else ():
                if value_at(each, name) is None:
                    yield Problem(f"{place}[{index}].{name}", "is needed where there are several")


WORDS = str.maketrans({".": " ", "+": " and "})


def _named(elements: Any, paths: list[str]) -> Iterator[str]:
    """What each element has at the paths, as text, of those that have the first and none that isn't known yet."""
    for each in elements if isinstance(elements, list) else ():
        found = [value_at({"at": each}, f"at.{path}" if path else "at") for path in paths]
        if found[0] is not None and all(isinstance(v, str | int | float | None) and not is_unknown(v) for v in found):
            yield " ".join(repr(value) for value in found if value is not None)


def _ordered(paths: list[str], inputs: dict[str, Any]) -> Iterator[Problem]:
    """The largest of each against the smallest of the next, in each element of the list that they are all in."""
    holders, rests = shared(paths)
    for place, holder in values_at(inputs, holders):
        given = [(rest, [value for _, value in values_at(holder, rest)]) for rest in rests]
        known = [(rest, values) for rest, values in given if _all_known(values)]
        for (lower, lows), (upper, highs) in pairwise(known):
            low, high = max(lows, key=_number), min(highs, key=_number)
            if _number(low) > _number(high):
                yield Problem(below(place, lower), f"{low} is more than {below(place, upper)}, which is {high}")


SUFFIXES = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18} | {
    f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)
}


def _number(value: Any) -> float:
    """Also a quantity as Kubernetes writes them, such as 500m and 2Gi; NaN, more than nothing, for what is none."""
    written = re.fullmatch(r"(-?\d+(?:\.\d+)?(?:e\d+)?)([mkMGTPE]|[KMGTPE]i)?", str(value))
    return float(written[1]) * SUFFIXES.get(written[2], 1.0) if written else math.nan


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
            yield Problem(below(at, path), condition.why)
    for path in condition.forbids:
        if found := list(values_at(inputs, path)):
            yield Problem(below(at, found[0][0]), condition.why)
    for path, pattern in condition.demands.items():
        for place, value in values_at(inputs, path):
            if not is_unknown(value) and not re.fullmatch(pattern, _text(value)):
                yield Problem(below(at, place), f"{_text(value)!r} {condition.why}")


def _text(value: Any) -> str:
    """As it is written in a program's configuration."""
    return value if isinstance(value, str) else json.dumps(value)
