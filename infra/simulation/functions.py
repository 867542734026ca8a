"""Answers to the functions of an SDK: who am I, which zones are there, look this up."""

import json
from typing import Any

from infra.simulation.account import Thing
from infra.simulation.rules import Lookup, package_rules
from infra.simulation.schema import Type, function_schema, problems
from infra.simulation.settings import Settings
from infra.simulation.templates import expand

__all__ = ["FunctionRefused", "answer"]


class FunctionRefused(Exception):
    """The function can't be answered; the message says why."""


def answer(token: str, arguments: dict[str, Any], settings: Settings, things: list[Thing]) -> dict[str, Any]:
    """The function's result; FunctionRefused where the simulation has none."""
    package, short = token.split(":", 1)
    schema = function_schema(token)
    if schema is None:
        raise FunctionRefused(f"the installed SDK for {package} has no function {token}")
    found = list(problems(arguments, Type("object", properties=schema.inputs)))
    if found:
        raise FunctionRefused("; ".join(f"{problem.path}: {problem.reason}" for problem in found))
    lookup = package_rules(package).functions.get(short)
    if lookup is None:
        raise FunctionRefused(
            f"the simulated cloud has no answer to {token}; write one in infra/simulation/rules/"
            f"{package.replace('-', '_')}/package.yaml"
        )
    if lookup.finds:
        return _look_up(lookup, package, arguments, settings, things)

    def value_of(name: str) -> Any:
        if name == "zones":
            region = str(arguments.get("region") or settings.region)
            return [f"{region}{zone}" for zone in settings.rules.regions.get(region, [])]
        if name == "policy_document":
            return policy_document(arguments)
        return arguments.get(name) or settings.values.get(name)

    return expand(lookup.returns, value_of, token)


def _look_up(
    lookup: Lookup, package: str, arguments: dict[str, Any], settings: Settings, things: list[Thing]
) -> dict[str, Any]:
    wanted = {name: arguments[name] for name in lookup.by if arguments.get(name) is not None}
    region = arguments.get("region") or settings.region
    for thing in things:
        is_type = thing.type == f"{package}:{lookup.finds}"
        if (
            is_type
            and thing.region == region
            and wanted
            and all(thing.get(name) == value for name, value in wanted.items())
        ):
            return thing.inputs | thing.outputs | {"id": thing.id}
    asked = ", ".join(f"{name} {value!r}" for name, value in wanted.items()) or "nothing"
    raise FunctionRefused(f"there is no {lookup.finds} with {asked} in {region}")


def policy_document(arguments: dict[str, Any]) -> str:
    """An IAM document from its parts, as getPolicyDocument puts it together."""
    statements = [
        json.loads(text).get("Statement", []) for text in arguments.get("sourcePolicyDocuments") or [] if text
    ]
    own = [_statement(each) for each in arguments.get("statements") or []]
    merged = [statement for listed in statements for statement in listed] + own
    for text in arguments.get("overridePolicyDocuments") or []:
        for statement in json.loads(text).get("Statement", []):
            merged = [each for each in merged if each.get("Sid") is None or each["Sid"] != statement.get("Sid")]
            merged.append(statement)
    document: dict[str, Any] = {"Version": arguments.get("version") or "2012-10-17"}
    if arguments.get("policyId"):
        document["Id"] = arguments["policyId"]
    return json.dumps(document | {"Statement": merged}, indent=2)


def _statement(given: dict[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": given.get("effect") or "Allow"}
    if given.get("sid"):
        statement["Sid"] = given["sid"]
    for name, key in (("actions", "Action"), ("notActions", "NotAction"), ("resources", "Resource")):
        if values := given.get(name):
            statement[key] = values[0] if len(values) == 1 else sorted(values)
    if given.get("notResources"):
        statement["NotResource"] = given["notResources"]
    for name, key in (("principals", "Principal"), ("notPrincipals", "NotPrincipal")):
        if given.get(name):
            statement[key] = _principals(given[name])
    for condition in given.get("conditions") or []:
        values = condition["values"]
        tests = statement.setdefault("Condition", {}).setdefault(condition["test"], {})
        tests[condition["variable"]] = values[0] if len(values) == 1 else values
    return statement


def _principals(listed: list[dict[str, Any]]) -> Any:
    if any(each["type"] == "*" for each in listed):
        return "*"
    grouped: dict[str, list[str]] = {}
    for each in listed:
        grouped.setdefault(each["type"], []).extend(each["identifiers"])
    return {type_: names[0] if len(names) == 1 else names for type_, names in grouped.items()}
