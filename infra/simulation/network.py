"""What a network demands of what goes into it: blocks inside their network, siblings apart, zones of the region."""

import ipaddress
from collections.abc import Iterator

from infra.simulation.account import Thing
from infra.simulation.paths import values_at
from infra.simulation.rules import Package, Rule, package_rules
from infra.simulation.schema import Problem
from infra.simulation.wire import is_unknown

__all__ = ["network_problems"]


def network_problems(rule: Rule, thing: Thing, others: list[Thing]) -> Iterator[Problem]:
    """Every block and zone that can't be where it is put."""
    yield from _outside(rule, thing, others)
    yield from _overlapping(rule, thing, others)
    for path in rule.zones:
        zones = [f"{thing.region}{letter}" for letter in _rules(thing).regions.get(thing.region, [])]
        for place, zone in values_at(thing.inputs, path):
            if isinstance(zone, str) and zone not in zones:
                yield Problem(place, f"{zone!r} is no zone of {thing.region}; there are {', '.join(zones)}")


def _outside(rule: Rule, thing: Thing, others: list[Thing]) -> Iterator[Problem]:
    for path, container_path in rule.inside.items():
        block, containers = thing.inputs.get(path), _containers(rule, thing, container_path, others)
        outers = [outer for outer in (each.inputs.get(path) for each in containers) if isinstance(outer, str)]
        if not isinstance(block, str) or len(outers) != len(containers) or not containers:
            continue
        if not any(ipaddress.IPv4Network(block).subnet_of(ipaddress.IPv4Network(outer)) for outer in outers):
            labels = ", ".join(each.label for each in containers)
            yield Problem(path, f"{block} is not inside {', '.join(outers)}, the block of {labels}")


def _overlapping(rule: Rule, thing: Thing, others: list[Thing]) -> Iterator[Problem]:
    for path, shared in rule.apart.items():
        block, containers = thing.inputs.get(path), _containers(rule, thing, shared, others)
        if not isinstance(block, str) or len(containers) != 1:
            continue
        for sibling in others:
            theirs = sibling.inputs.get(path)
            is_one = sibling.type == thing.type and _containers(rule, sibling, shared, others) == containers
            if not is_one or not isinstance(theirs, str):
                continue
            if ipaddress.IPv4Network(block).overlaps(ipaddress.IPv4Network(theirs)):
                yield Problem(path, f"{block} overlaps {theirs}, the block of {sibling.label}")


def _containers(rule: Rule, thing: Thing, path: str, others: list[Thing]) -> list[Thing]:
    """The network that it goes into; in a preview, where that has no id yet, all that it can be."""
    value = thing.inputs.get(path)
    type_ = rule.refers[path].partition(".")[0]
    possible = [each for each in others if each.type.endswith(f":{type_}") and each.region == thing.region]
    return possible if is_unknown(value) else [each for each in possible if each.id == value]


def _rules(thing: Thing) -> Package:
    return package_rules(thing.type.partition(":")[0])
