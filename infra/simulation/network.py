"""What a network demands of what goes into it: blocks inside it and apart, zones of the region, parts of no other."""

import ipaddress
from collections.abc import Iterator
from typing import Any

from infra.simulation.account import Thing
from infra.simulation.paths import values_at
from infra.simulation.references import parts_of, referenced
from infra.simulation.rules import Package, Rule, package_rules, rule_for
from infra.simulation.schema import Problem
from infra.simulation.wire import is_unknown

__all__ = ["network_problems"]


def network_problems(rule: Rule, thing: Thing, others: list[Thing]) -> Iterator[Problem]:
    """Every block and zone that can't be where it is put."""
    yield from _outside(rule, thing, others)
    yield from _overlapping(rule, thing, others)
    yield from _mixed(rule, thing, others)
    for path in rule.zones:
        zones = [f"{thing.region}{letter}" for letter in _rules(thing).regions.get(thing.region, [])]
        for place, zone in values_at(thing.inputs, path):
            if isinstance(zone, str) and zone not in zones:
                yield Problem(place, f"{zone!r} is no zone of {thing.region}; there are {', '.join(zones)}")
    for path in rule.regional:
        for place, text in values_at(thing.inputs, path):
            if isinstance(text, str) and f".{thing.region}." not in text:
                yield Problem(place, f"{text!r} doesn't name {thing.region}, the region that it is used in")


def _outside(rule: Rule, thing: Thing, others: list[Thing]) -> Iterator[Problem]:
    for path, container_path in rule.inside.items():
        block, containers = thing.inputs.get(path), _containers(rule, thing, container_path, others)
        outers = [outer for each in containers for outer in _blocks(each, path)]
        if not isinstance(block, str) or any(is_unknown(outer) for outer in outers) or not outers:
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


def _mixed(rule: Rule, thing: Thing, others: list[Thing]) -> Iterator[Problem]:
    """What doesn't go together: parts of two networks, or twice the same zone."""
    for name, paths in rule.alike.items():
        first = (thing.label, thing.get(name)) if thing.get(name) else None
        for place, found in _referred(rule, thing, paths, others):
            first = first or (found.label, found.get(name))
            if found.get(name) not in (None, first[1]) and not is_unknown(first[1]):
                yield Problem(place, f"{found.label} has {name} {found.get(name)!r}, and {first[0]} has {first[1]!r}")
    for name, paths in rule.unlike.items():
        taken: dict[Any, Thing] = {}
        for place, found in _referred(rule, thing, paths, others):
            value = found.get(name)
            if value in taken and not is_unknown(value):
                yield Problem(
                    place, f"{found.label} has {name} {value!r}, like {taken[value].label}; each needs another"
                )
            elif isinstance(value, str):
                taken[value] = found


def _referred(rule: Rule, thing: Thing, paths: list[str], others: list[Thing]) -> Iterator[tuple[str, Thing]]:
    for path in paths:
        for place, value in values_at(thing.inputs, path):
            found = referenced(rule.refers[path], value, others) if isinstance(value, str) else None
            if found and found.get("id") == value:
                yield place, found


def _containers(rule: Rule, thing: Thing, path: str, others: list[Thing]) -> list[Thing]:
    """The network that it goes into; in a preview, where that has no id yet, all that it can be."""
    value = thing.inputs.get(path)
    target = rule.refers[path]
    regional = bool(_rules(thing).regions)
    in_reach = [each for each in others if not regional or each.region == thing.region]
    if is_unknown(value):
        return [each for each in in_reach if each.type.endswith(f":{parts_of(target)[0]}")]
    found = referenced(target, value, in_reach) if isinstance(value, str) else None
    return [found] if found else []


def _blocks(container: Thing, path: str) -> list[Any]:
    """The network's own, which it has under the same name, or where its rule says."""
    rule = rule_for(container.type)
    return [block for each in (rule and rule.blocks) or [path] for _, block in values_at(container.inputs, each)]


def _rules(thing: Thing) -> Package:
    return package_rules(thing.type.partition(":")[0])
