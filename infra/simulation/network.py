"""What a network demands of what goes into it: blocks inside their network, siblings apart, zones of the region."""

import ipaddress
from collections.abc import Iterator

from infra.simulation.account import Thing
from infra.simulation.paths import values_at
from infra.simulation.rules import Package, Rule, package_rules
from infra.simulation.schema import Problem

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
        block = thing.inputs.get(path)
        container = next((each for each in others if each.id == thing.inputs.get(container_path)), None)
        outer = container.inputs.get(path) if container else None
        if not container or not isinstance(block, str) or not isinstance(outer, str):
            continue
        if not ipaddress.IPv4Network(block).subnet_of(ipaddress.IPv4Network(outer)):
            yield Problem(path, f"{block} is not inside {outer}, the block of {container.label}")


def _overlapping(rule: Rule, thing: Thing, others: list[Thing]) -> Iterator[Problem]:
    for path, shared in rule.apart.items():
        block, group = thing.inputs.get(path), thing.inputs.get(shared)
        siblings = [each for each in others if each.type == thing.type and each.inputs.get(shared) == group]
        for sibling in siblings:
            theirs = sibling.inputs.get(path)
            if not isinstance(block, str) or not isinstance(theirs, str):
                continue
            if ipaddress.IPv4Network(block).overlaps(ipaddress.IPv4Network(theirs)):
                yield Problem(path, f"{block} overlaps {theirs}, the block of {sibling.label}")


def _rules(thing: Thing) -> Package:
    return package_rules(thing.type.partition(":")[0])
