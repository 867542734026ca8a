"""Contracts from what their makers publish, kept on disk: reading a model of botocore takes tenths of a second."""

import hashlib
import re
from functools import cache
from importlib import metadata
from typing import Any, NamedTuple

import msgspec

from infra.simulation.api.contract import Contract
from infra.simulation.rules import Api, Rule, rule_for
from infra.simulation.schema import Type, cache_folder, keep, resource_schema

__all__ = ["contract_of"]

CONTRACT = msgspec.json.Decoder(Contract)  # made before threads: see infra/simulation/schema/cache.py
FORMAT = "4"
PUBLISHERS = {"aws": "botocore", "databricks": "databricks-sdk", "gcp": "google-api-python-client"}  # by SDK


@cache
def contract_of(token: str) -> Contract | None:
    """What the operation that creates this type demands; None where no contract is named in its rule."""
    rule, schema = rule_for(token), resource_schema(token)
    if rule is None or rule.api is None or schema is None:
        return None
    key = msgspec.json.encode((FORMAT, rule.api, sorted(_supplied(rule)), schema))
    name = f"{token.replace(':', '.').replace('/', '.')}-{hashlib.sha256(key).hexdigest()[:16]}.json"
    publisher = PUBLISHERS[token.partition(":")[0]]
    file = cache_folder() / f"{publisher}-{metadata.version(publisher)}" / name
    if file.exists():
        return CONTRACT.decode(file.read_bytes())
    contract = _compile(
        _input(publisher, rule.api), rule.api, Type("object", properties=schema.inputs), _supplied(rule)
    )
    keep(file, msgspec.json.encode(contract))
    return contract


def _supplied(rule: Rule) -> set[str]:
    """What the program need not give though the operation asks for it."""
    alternatives = {name for names in rule.exactly_one for name in names}
    return {*rule.autoname, *rule.outputs, *alternatives, *(rule.api.supplied if rule.api else ())}


def _input(publisher: str, api: Api) -> Any:
    if publisher == "botocore":
        return _model(api.service).operation_model(api.create).input_shape
    if publisher == "google-api-python-client":
        from infra.simulation.api.discovery import of_call

        return of_call(api.service, api.create)
    from infra.simulation.api.signatures import of_method

    return of_method(api.service, api.create)


def _compile(shape: Any, api: Api, type_: Type, supplied: set[str]) -> Contract:
    contract = _structure(shape, type_, _Rules(api.members, supplied), "", ())
    for name in api.json:
        path = _member_path(shape, name, name, api.members)
        contract.members[name] = Contract("json", path, of=(_of_shape(_follow(shape, path), ()),))
    return contract


def _of_shape(shape: Any, path: tuple[str, ...]) -> Contract:
    """The contract of what is written as the operation itself names it."""
    limits: dict[str, Any] = _limits(shape) | {"enum": tuple(shape.metadata.get("enum", ()))}
    if shape.type_name == "structure":
        members = {name: _of_shape(member, (name,)) for name, member in shape.members.items()}
        return Contract("structure", path, members=members, required=tuple(shape.required_members))
    if shape.type_name in ("list", "map"):
        inner = shape.member if shape.type_name == "list" else shape.value
        return Contract(shape.type_name, path, **limits, of=(_of_shape(inner, ()),))
    return Contract(shape.type_name, path, **limits)


class _Rules(NamedTuple):
    renamed: dict[str, str | None]
    supplied: set[str]


@cache
def _model(service: str) -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model(service, "service-2"), service_name=service)


def _structure(shape: Any, type_: Type, rules: _Rules, at: str, within: tuple[str, ...]) -> Contract:
    members: dict[str, Contract] = {}
    required: list[str] = []
    for name, known in type_.properties.items():
        place = f"{at}.{name}" if at else name
        path = _member_path(shape, name, place, rules.renamed)
        target = _follow(shape, path)
        if path and target is not None and target.name not in within:
            members[name] = _contract(target, known.type, rules, place, (*within, shape.name), path)
            if len(path) == 1 and path[0] in shape.required_members and place not in rules.supplied:
                required.append(name)
    return Contract("structure", members=members, required=tuple(required))


def _contract(
    shape: Any, type_: Type, rules: _Rules, at: str, within: tuple[str, ...], path: tuple[str, ...]
) -> Contract:
    if shape.type_name == "list" and type_.kind in ("map", "object"):
        return _from_list(shape, type_, rules, at, within, path)
    if shape.type_name == "structure" and type_.kind == "object":
        return msgspec.structs.replace(_structure(shape, type_, rules, at, within), path=path)
    if shape.type_name == "list" and type_.kind == "list":
        element = _contract(shape.member, type_.of[0], rules, f"{at}[]", within, ())
        return Contract("list", path, **_limits(shape), of=(element,))
    if shape.type_name == "structure" and type_.kind == "list":  # a list of one here
        return Contract("only", path, high=1, of=(_contract(shape, type_.of[0], rules, f"{at}[]", within, ()),))
    if shape.type_name == "map" and type_.kind == "map":
        value = _contract(shape.value, type_.of[0], rules, at, within, ())
        key = getattr(shape, "key", None)  # botocore alone says what keys look like
        return Contract("map", path, of=(value, *([Contract("string", **_limits(key))] if key else [])))
    return Contract(shape.type_name, path, **_limits(shape), enum=tuple(shape.metadata.get("enum", ())))


def _from_list(
    shape: Any, type_: Type, rules: _Rules, at: str, within: tuple[str, ...], path: tuple[str, ...]
) -> Contract:
    """Tags are a mapping here and a list of pairs there; a single block is an object here and a list of one there."""
    pair = shape.member
    if type_.kind == "object":
        return msgspec.structs.replace(_contract(pair, type_, rules, at, within, path), wrapped=True)
    names = {name.lower(): name for name in getattr(pair, "members", {})}
    if {"value"} < names.keys() and ({"key", "tagkey"} & names.keys()):
        keys = (names.get("key") or names["tagkey"], names["value"])
    elif {"tagkey", "tagvalue"} <= names.keys():
        keys = (names["tagkey"], names["tagvalue"])
    elif {"name", "value"} == names.keys():
        keys = (names["name"], names["value"])
    else:
        return Contract("unlike", path)
    parts = tuple(Contract("string", (key,), **_limits(pair.members[key])) for key in keys)
    return Contract("tags", path, of=parts)


def _limits(shape: Any) -> dict[str, Any]:
    known = shape.metadata
    return {"pattern": known.get("pattern"), "low": known.get("min"), "high": known.get("max")}


def _member_path(shape: Any, name: str, place: str, renamed: dict[str, str | None]) -> tuple[str, ...]:
    """The way from the shape to the member: the rule's, or the one with the same name."""
    if place in renamed:
        return tuple((renamed[place] or "").split(".")) if renamed[place] else ()
    known = {_plain(member): member for member in shape.members}
    plain = _plain(name)
    singular = re.sub(r"ies$", "y", plain) if plain.endswith("ies") else plain.removesuffix("s")
    for guess in (plain, singular, f"{plain}s", plain.removesuffix("lists"), f"{singular}list"):
        if guess in known:
            return (known[guess],)
    return ()


def _follow(shape: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        if step not in getattr(shape, "members", {}):
            raise ValueError(f"{shape.name} has no member {step}")
        shape = shape.members[step]
    return shape if path else None


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
