"""One mistake, made in a copy of a stack's resources."""

import copy
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from infra.policies.rule import UNKNOWN, Resource

__all__ = ["Mistake", "mistakes"]

HERE = Path(__file__).parent
STACKS = {  # where an entry names none
    "aws.yaml": "aws-sagemaker-prod",
    "checked.yaml": "aws-sagemaker-prod",
    "databricks.yaml": "aws-databricks-prod",
    "later.yaml": "aws-sagemaker-prod",
}


@dataclass(frozen=True)
class Mistake:
    """What somebody did, as data."""

    text: str
    stack: str
    given: Mapping[str, Any]

    @property
    def config(self) -> dict[str, Any] | None:
        """The stack file's values that are other; None where the program is."""
        return self.given.get("config")

    def made_in(self, resources: Sequence[Resource]) -> list[Resource]:
        """The resources of the program with the mistake in it. LookupError where there is no such place."""
        found = _by_name(resources)
        for name, changes in self.given.get("set", {}).items():
            for path, value in changes.items():
                found[name] = _with(found[name], path, value)
        for name, changes in self.given.get("replace", {}).items():
            found[name] = _with_text(found[name], changes)
        for kind, path in (("statement", "policy"), ("trust", "assumeRolePolicy")):
            for name, statement in self.given.get(kind, {}).items():
                found[name] = _with_statement(found[name], path, statement)
        for name in self.given.get("unprotect", ()):
            found[name] = replace(found[name], is_protected=False)
        for name in self.given.get("remove", ()):
            del found[name]
        for name, added in self.given.get("add", {}).items():
            found[name] = _added(name, added, resources)
        return list(found.values())


def mistakes() -> list[Mistake]:
    """All of them."""
    return [
        Mistake(each["mistake"], each.get("stack", stack), each)
        for name, stack in STACKS.items()
        for each in yaml.load((HERE / name).read_text(encoding="utf-8"), yaml.CSafeLoader)  # it is the safe one, in C
    ]


def _by_name(resources: Sequence[Resource]) -> dict[str, Resource]:
    """Those that share a name are told apart by their types: `Type/name`."""
    names = Counter(resource.name for resource in resources)
    return {
        each.name if names[each.name] == 1 else f"{each.type.rpartition(':')[2]}/{each.name}": each
        for each in resources
    }


def _with(resource: Resource, path: str, value: Any) -> Resource:
    properties = copy.deepcopy(dict(resource.properties))
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = properties
    for part in way:
        place = place[part]
    if value is not None:
        place[last] = value
    elif isinstance(last, int):
        place[last] = None  # which is then left out
    else:
        place.pop(last, None)
    return replace(resource, properties=_without_none(properties))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items()}
    return [_without_none(each) for each in value if each is not None] if isinstance(value, list) else value


def _with_text(resource: Resource, changes: Mapping[str, Sequence[str]]) -> Resource:
    (path, *_), properties = changes, dict(resource.properties)
    if properties[path] is UNKNOWN:
        return resource
    for old, new in changes.values():
        if old not in properties[path]:
            raise LookupError(f"{resource.name}.{path} has no {old!r}")
        properties[path] = properties[path].replace(old, new)
    return replace(resource, properties=properties)


def _with_statement(resource: Resource, path: str, statement: Mapping[str, Any]) -> Resource:
    text = resource.properties[path]
    if text is UNKNOWN:
        return resource
    document = json.loads(text)
    document["Statement"].append(statement)
    return replace(resource, properties={**resource.properties, path: json.dumps(document)})


def _added(name: str, added: Mapping[str, Any], resources: Sequence[Resource]) -> Resource:
    """`{of: name}` stands for the id of a resource of the stack."""
    first = next(each for each in resources if each.type.startswith("aws:"))
    properties, sources = dict(added["properties"]), dict[str, frozenset[str]]()
    for key, value in properties.items():
        if isinstance(value, dict) and value.keys() == {"of"}:
            properties[key] = next(
                (each.properties["vpcId"] for each in resources if value["of"] in each.sources.get("vpcId", ())),
                UNKNOWN,
            )
            sources[key] = frozenset({value["of"]})
    urn = f"{first.urn.rpartition('::')[0].rpartition('::')[0]}::{added['type']}::{name}"
    return Resource(added["type"], name, properties, first.environment, sources=sources, urn=urn)
