"""What a service demands of a resource whatever else exists: names, ranges, alternatives, documents."""

import ipaddress
import json
import re
from collections.abc import Iterator
from typing import Any

from infra.simulation.paths import values_at
from infra.simulation.rules import Condition, Rule
from infra.simulation.schema import Problem
from infra.simulation.wire import contains_unknown, is_unknown

__all__ = ["demand_problems"]


def demand_problems(rule: Rule, inputs: dict[str, Any]) -> Iterator[Problem]:
    """Everything that the service would refuse."""
    yield from _texts(rule, inputs)
    for path, (low, high) in rule.ranges.items():
        for place, value in values_at(inputs, path):
            if not is_unknown(value) and not low <= float(value) <= high:
                yield Problem(place, f"{value} is not between {low} and {high}")
    yield from _listed(rule, inputs)
    for names in rule.exactly_one:
        given = [name for name in names if inputs.get(name) is not None]
        if len(given) != 1:
            yield Problem(names[0], f"exactly one of {', '.join(names)} is needed, {len(given)} are given")
    for names in rule.at_most_one:
        given = [name for name in names if inputs.get(name) is not None]
        if len(given) > 1:
            yield Problem(given[0], f"{' and '.join(given)} exclude each other")
    for names in rule.at_least_one:
        if all(inputs.get(name) is None for name in names):
            yield Problem(names[0], f"{' or '.join(names)} is needed")
    for path, allowed in rule.values.items():
        for place, value in values_at(inputs, path):
            if not is_unknown(value) and value not in allowed:
                yield Problem(place, f"{value!r} is not one of {', '.join(map(str, allowed))}")
    for path, (shortest, longest) in rule.cidrs.items():
        for place, value in values_at(inputs, path):
            if isinstance(value, str):
                yield from (Problem(place, reason) for reason in _cidr_problems(value, shortest, longest))
    for condition in rule.conditions:
        yield from _conditional(condition, inputs)
    for path, kind in rule.documents.items():
        for place, value in values_at(inputs, path):
            yield from (Problem(place, reason) for reason in _document_problems(value, kind))


def _listed(rule: Rule, inputs: dict[str, Any]) -> Iterator[Problem]:
    for path, (fewest, most) in rule.sizes.items():
        for place, value in values_at(inputs, path):
            if isinstance(value, list) and not fewest <= len(value) <= most:
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


def _texts(rule: Rule, inputs: dict[str, Any]) -> Iterator[Problem]:
    for path, demanded in rule.texts.items():
        for place, value in values_at(inputs, path):
            if not isinstance(value, str):
                continue
            forbidden = demanded.forbids and re.search(demanded.forbids, value)
            if forbidden or not re.fullmatch(demanded.pattern, value):
                yield Problem(place, f"{value!r} {demanded.why}")


def _conditional(condition: Condition, inputs: dict[str, Any]) -> Iterator[Problem]:
    given = [value for _, value in values_at(inputs, condition.when)]
    if not any(isinstance(value, str) and re.fullmatch(condition.matches, value) for value in given):
        return
    for path in condition.needs:
        holder = inputs.get(re.split(r"[.\[{]", path)[0])
        if not contains_unknown(holder) and not list(values_at(inputs, path)):
            yield Problem(path, condition.why)
    for path in condition.forbids:
        if found := list(values_at(inputs, path)):
            yield Problem(found[0][0], condition.why)


def _cidr_problems(block: str, shortest: int, longest: int) -> Iterator[str]:
    try:
        network = ipaddress.IPv4Network(block)
    except ValueError as error:
        yield f"{block!r} is no block of IPv4 addresses: {error}"
        return
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
