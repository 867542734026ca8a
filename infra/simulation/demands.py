"""What a service demands of a resource whatever else exists: names, ranges, alternatives, documents."""

import ipaddress
import json
import re
from collections.abc import Iterator
from typing import Any
from zoneinfo import available_timezones

from infra.simulation.paths import below, shared, value_at, values_at
from infra.simulation.relations import relation_problems
from infra.simulation.rules import Rule, Text
from infra.simulation.schema import Problem
from infra.simulation.wire import contains_unknown, is_unknown

__all__ = ["demand_problems"]


def demand_problems(rule: Rule, inputs: dict[str, Any]) -> Iterator[Problem]:
    """Everything that the service would refuse."""
    yield from _texts(rule, inputs)
    yield from relation_problems(rule, inputs)
    for path, (low, high) in rule.ranges.items():
        for place, value in values_at(inputs, path):
            if _is_number(value) and not low <= float(value) <= high:
                yield Problem(place, f"{value} is not between {low} and {high}")
    yield from _alternatives(rule, inputs)
    for path, allowed in rule.values.items():
        for place, value in values_at(inputs, path):
            if not is_unknown(value) and value not in allowed:
                yield Problem(place, f"{value!r} is not one of {', '.join(map(str, allowed))}")
    for path, (step, *besides) in rule.steps.items():
        for place, value in values_at(inputs, path):
            if not is_unknown(value) and int(value) % step and int(value) not in besides:
                also = f", nor one of {', '.join(map(str, besides))}" if besides else ""
                yield Problem(place, f"{value} is no multiple of {step}{also}")
    for path in rule.timezones:
        for place, value in values_at(inputs, path):
            if isinstance(value, str) and value not in available_timezones():
                yield Problem(place, f"{value!r} is no time zone, such as Europe/Berlin or UTC")
    for path, (shortest, longest) in rule.cidrs.items():
        for place, value in values_at(inputs, path):
            if isinstance(value, str):
                yield from (Problem(place, reason) for reason in _cidr_problems(value, shortest, longest))
    for path, kind in rule.documents.items():
        for place, value in values_at(inputs, path):
            yield from (Problem(place, reason) for reason in _document_problems(value, kind))


def _is_number(value: Any) -> bool:
    """What may also be a text, such as the name of a port, is none of a number's business."""
    return not is_unknown(value) and (not isinstance(value, str) or re.fullmatch(r"-?\d+(\.\d+)?", value) is not None)


def _alternatives(rule: Rule, inputs: dict[str, Any]) -> Iterator[Problem]:
    for paths in rule.exactly_one:
        for place, names, given in _given(paths, inputs):
            if len(given) != 1:
                said = f"exactly one of {', '.join(names)} is needed, {len(given)} are given"
                yield Problem(below(place, names[0]), said)
    for paths in rule.at_most_one:
        for place, _, given in _given(paths, inputs):
            if len(given) > 1:
                yield Problem(below(place, given[0]), f"{' and '.join(given)} exclude each other")
    for paths in rule.at_least_one:
        for place, names, given in _given(paths, inputs):
            if not given:
                yield Problem(below(place, names[0]), f"{' or '.join(names)} is needed")


def _given(paths: list[str], inputs: dict[str, Any]) -> Iterator[tuple[str, list[str], list[str]]]:
    """For each place that the paths have in common: the place, the names in it, and those that are given."""
    holders, names = shared(paths)
    for place, holder in values_at(inputs, holders):
        yield place, names, [name for name in names if value_at(holder, name) is not None]


def _texts(rule: Rule, inputs: dict[str, Any]) -> Iterator[Problem]:
    for path, demanded in rule.texts.items():
        for place, value in values_at(inputs, path):
            if isinstance(value, str) and not _is_like(value, demanded):
                yield Problem(place, f"{value!r} {demanded.why}")
    for path, demanded in rule.keys.items():
        for place, mapping in values_at(inputs, path):
            for key in mapping if isinstance(mapping, dict) else ():
                if not _is_like(key, demanded):
                    yield Problem(f"{place}.{key}", f"the key {key!r} {demanded.why}")


def _is_like(text: str, demanded: Text) -> bool:
    forbidden = demanded.forbids and re.search(demanded.forbids, text)
    return not forbidden and re.fullmatch(demanded.pattern, text) is not None


def _cidr_problems(block: str, shortest: int, longest: int) -> Iterator[str]:
    try:
        network = ipaddress.IPv4Network(block)
    except ValueError as error:
        yield f"{block!r} is no block of IPv4 addresses: {error}"
        return
    if "/" not in block:
        yield f"{block!r} is an address: a block ends with the length of its prefix, as {block}/{longest}"
    if not shortest <= network.prefixlen <= longest:
        yield f"{block} has the prefix /{network.prefixlen}; /{shortest} to /{longest} are allowed"


def _document_problems(value: Any, kind: str) -> Iterator[str]:
    if contains_unknown(value):
        return
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            yield f"is not JSON: {error}"
            return
    if kind != "json":
        from infra.simulation.iam import policy_problems

        yield from policy_problems(value, kind)
