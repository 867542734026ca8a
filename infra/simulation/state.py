"""What a resource demands of the account it goes into: free names, things that it refers to, room in its network."""

import json
import re
from collections.abc import Callable, Iterator

from infra.simulation.account import DELETED, PLACES, Thing
from infra.simulation.iam import policy_size, principal_arns
from infra.simulation.managed import managed_policy_problem
from infra.simulation.network import network_problems
from infra.simulation.paths import texts, value_at, values_at
from infra.simulation.references import parts_of, referenced
from infra.simulation.rules import Rule, package_rules
from infra.simulation.schema import Problem
from infra.simulation.wire import contains_unknown, is_unknown

__all__ = ["reasons_to_keep", "state_problems"]


def state_problems(rule: Rule, thing: Thing, account: list[Thing], world: list[Thing]) -> Iterator[Problem]:
    """What the service would refuse at creation or change; `world` are the things of other accounts."""
    others = [each for each in account if each.urn != thing.urn]
    yield from _taken(rule, thing, others, world)
    yield from _lingering(rule, thing, others, world)
    yield from _missing(rule, thing, others, world)
    yield from _needed(rule, thing, others)
    yield from _outside(rule, thing, others)
    yield from _untrusted(rule, thing, others, world)
    yield from _unassumable(rule, thing, others)
    yield from _principals(rule, thing, others)
    yield from _too_long(rule, thing, others)
    documents = {re.sub(r"\[\]", "", path) for path in rule.documents}
    for path, text in texts(thing.inputs):
        if re.split(r"[.\[]", path)[0] not in documents:
            yield from _shaped(path, text, thing, others, world)
    yield from network_problems(rule, thing, others)


def reasons_to_keep(thing: Thing, account: list[Thing], rule_of: Callable[[str], Rule | None]) -> list[Thing]:
    """The things that are in the way of deleting this one."""
    found: list[Thing] = []
    for other in account:
        if other.urn == thing.urn or not (others_rule := rule_of(other.type)):
            continue
        for path in others_rule.holds:
            target = others_rule.refers[path]
            values = [value for _, value in _named(other, path) if isinstance(value, str)]
            if any(referenced(target, value, [thing]) for value in values):
                found.append(other)
    return found


def _named(thing: Thing, path: str) -> Iterator[tuple[str, object]]:
    """What is named at the path; `catalogName/schemaName` is one name of two parts."""
    if "/" not in path:
        yield from values_at(thing.inputs, path)
        return
    parts = [next(values_at(thing.inputs, part), ("", None)) for part in path.split("/")]
    if all(isinstance(value, str) for _, value in parts):
        yield parts[-1][0], ".".join(str(value) for _, value in parts)


def _taken(rule: Rule, thing: Thing, others: list[Thing], world: list[Thing]) -> Iterator[Problem]:
    for name, scope in rule.unique.items():
        value = thing.get(name)
        if value is None or is_unknown(value):
            continue
        for other in [*others, *(world if scope == "world" else [])]:
            same_place = scope != "region" or other.region == thing.region
            if other.type == thing.type and other.get(name) == value and same_place:
                where = {"region": f"in {thing.region}", "account": "in this account", "world": "in the world"}[scope]
                place = ", ".join(PLACES.findall(name)) or name
                yield Problem(place, f"{value!r} is taken: there is {other.label} {where} already")
                break


def _lingering(rule: Rule, thing: Thing, others: list[Thing], world: list[Thing]) -> Iterator[Problem]:
    """What was deleted, and still has its name."""
    if rule.lingers is None or value_at(thing.inputs, rule.lingers.when) == rule.lingers.matches:
        return
    for name in rule.unique:
        for other in (*others, *world):
            if other.type == f"{thing.type}{DELETED}" and other.get(name) == thing.get(name):
                yield Problem(name, f"{thing.get(name)!r} {rule.lingers.why}")


def _missing(rule: Rule, thing: Thing, others: list[Thing], world: list[Thing]) -> Iterator[Problem]:
    for path, target in rule.refers.items():
        package, colon, foreign = (
            target.partition(":") if target.partition("|")[0].count(":") == 2 else ("", "", target)
        )
        near = [each for each in others if _is_within_reach(thing, each)]
        there = [each for each in world if each.type.startswith(f"{package}:")] if colon else near
        for place, value in _named(thing, path):
            elsewhere = not colon and isinstance(value, str) and _is_elsewhere(value, thing)
            exists = isinstance(value, str) and (
                _is_built_in(foreign, value, thing) or referenced(foreign, value, there)
            )
            if isinstance(value, str) and not elsewhere and not exists:
                types = " or ".join(parts_of(each)[0] for each in target.split("|"))
                where = f"any account of {package}" if colon else _reach(thing, path)
                yield Problem(place, f"refers to {value!r}, but there is no such {types} in {where}")


def _is_within_reach(thing: Thing, other: Thing) -> bool:
    """Whether both are in one namespace, where a cloud has such, or one of them is in none."""
    path = package_rules(thing.type.partition(":")[0]).within
    places = [each.get(path) for each in (thing, other)] if path else []
    return not all(isinstance(place, str) for place in places) or len(set(places)) < 2


def _reach(thing: Thing, path: str) -> str:
    within = package_rules(thing.type.partition(":")[0]).within
    is_inside = within and within != path and thing.get(within)
    return f"{within} {thing.get(within)!r}" if within and is_inside else "this account"


def _is_built_in(target: str, value: str, thing: Thing) -> bool:
    exists = package_rules(thing.type.partition(":")[0]).exists
    return any(value in exists.get(parts_of(each)[0], ()) for each in target.split("|"))


def _needed(rule: Rule, thing: Thing, others: list[Thing]) -> Iterator[Problem]:
    for need in rule.needs:
        path = need.here or need.same
        value = next((each for _, each in values_at(thing.inputs, path)), thing.get(path))
        there = any(each.type.endswith(f":{need.type}") and each.get(need.same) == value for each in others)
        if need.unless and isinstance(value, str):
            type_, output = parts_of(need.unless)
            other = referenced(type_, value, others)
            there = there or (other is not None and bool(other.get(output)))
        if isinstance(value, str) and not there:
            yield Problem(need.here or need.same, f"{need.why}: there is no {need.type} for {value!r}")


def _outside(rule: Rule, thing: Thing, others: list[Thing]) -> Iterator[Problem]:
    """A preview knows no more of places that are only planned than that there will be one."""
    for path, target in rule.below.items():
        type_, output = parts_of(target)
        places = [each.get(output) for each in others if each.type.endswith(f":{type_}")]
        for place, value in values_at(thing.inputs, path):
            known = any(not isinstance(p, str) or f"{value}/".startswith(f"{p.rstrip('/')}/") for p in places)
            if isinstance(value, str) and not known:
                yield Problem(place, f"{value!r} is in no {type_} of this account")


def _untrusted(rule: Rule, thing: Thing, others: list[Thing], world: list[Thing]) -> Iterator[Problem]:
    """What the service finds out by trying: whether the role lets it in."""
    trusted = rule.trusted
    if trusted is None or thing.inputs.get(trusted.unless):
        return
    for place, name in values_at(thing.inputs, trusted.through):
        means = referenced(rule.refers[trusted.through], name, others) if isinstance(name, str) else None
        properties = means.inputs | means.outputs if means else {}
        arn, known = (next((v for _, v in values_at(properties, p)), None) for p in (trusted.role, trusted.knows))
        if not isinstance(arn, str) or not isinstance(known, str):
            continue
        role = referenced("iam/role:Role.arn", arn, world)
        if role is None:
            yield Problem(place, f"leads to the role {arn!r}, which is in no account")
        elif isinstance(policy := role.inputs.get("assumeRolePolicy"), str) and known not in policy:
            yield Problem(place, f"leads to {role.label}, whose trust doesn't name the external id {known!r}")


def _unassumable(rule: Rule, thing: Thing, others: list[Thing]) -> Iterator[Problem]:
    """A role whose trust doesn't name the service that is to act as it."""
    for path, service in rule.assumed.items():
        for place, arn in values_at(thing.inputs, path):
            role = referenced("iam/role:Role.arn", arn, others) if isinstance(arn, str) else None
            trust = role.inputs.get("assumeRolePolicy") if role else None
            if role and isinstance(trust, str) and service not in trust:
                yield Problem(
                    place, f"is {role.label}, whose trust doesn't name {service}: the service can't act as it"
                )


def _principals(rule: Rule, thing: Thing, others: list[Thing]) -> Iterator[Problem]:
    """IAM looks up every user and role of this account that a document trusts."""
    for path, kind in rule.documents.items():
        for place, text in values_at(thing.inputs, path):
            if kind not in ("trust", "resource", "repository", "key") or contains_unknown(text):
                continue
            for arn in principal_arns(json.loads(text) if isinstance(text, str) else text):
                arns = [known for each in (*others, thing) for known in _arns(each)]
                if not _is_elsewhere(arn, thing) and "*" not in arn and arn not in arns:
                    yield Problem(place, f"has the principal {arn!r}, and nothing in this account has that ARN")


def _too_long(rule: Rule, thing: Thing, others: list[Thing]) -> Iterator[Problem]:
    """Policies that have a limit in common."""
    for path, limit in rule.together.items():
        beside = [o for o in others if limit.per and o.type == thing.type and o.get(limit.per) == thing.get(limit.per)]
        texts_ = [text for each in (thing, *beside) for _, text in values_at(each.inputs, path)]
        size = sum(policy_size(text) for text in texts_ if not contains_unknown(text))
        if len(texts_) > 1 and size > limit.most:
            whose = f" of {limit.per} {thing.get(limit.per)!r}" if limit.per else ""
            yield Problem(
                path,
                f"comes to {size} characters with the others{whose}, without white space; {limit.most} are allowed",
            )


def _is_elsewhere(value: str, thing: Thing) -> bool:
    """Whether it is an ARN of another account, or of the provider's own."""
    rules = package_rules(thing.type.partition(":")[0])
    if not value.startswith("arn:"):
        return False
    account = value.split(":")[4] if value.count(":") >= 5 else ""
    return (account not in ("", thing.account)) or any(re.fullmatch(each, value) for each in rules.public_arns)


def _shaped(path: str, text: str, thing: Thing, others: list[Thing], world: list[Thing]) -> Iterator[Problem]:
    """A text with the shape of an id or an ARN must be that of something."""
    rules = package_rules(thing.type.partition(":")[0])
    if reason := managed_policy_problem(text):
        yield Problem(path, reason)
    if any(re.fullmatch(pattern, text) for pattern in rules.identifiers):
        known = {each.id for each in others} | {v for each in others for v in each.outputs.values() if v == text}
        holders = [i for i in known if text.startswith(f"{i}/") and any(re.fullmatch(p, i) for p in rules.identifiers)]
        if text not in known and not holders:
            yield Problem(path, f"refers to {text!r}, and nothing in this account has that id")
    elif rules.arn and re.fullmatch(rules.arn, text) and "*" not in text and not _is_elsewhere(text, thing):
        arns = [arn for each in (*others, *world, thing) for arn in _arns(each)]
        if not any(text == arn or text.startswith((f"{arn}:", f"{arn}/")) for arn in arns):
            yield Problem(path, f"refers to {text!r}, and nothing in this account has that ARN")


def _arns(thing: Thing) -> list[str]:
    return [v for k, v in thing.outputs.items() if k.lower().endswith("arn") and isinstance(v, str)] + (
        [thing.id] if thing.id.startswith("arn:") else []
    )
