"""The policy pack: `pulumi preview --policy-pack infra/policies` runs the rules inside the engine."""

import gc
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from infra.policies.check import RULES, broken_by_resource, broken_by_stack, environment_of
from infra.policies.rule import UNKNOWN, Resource, Rule, Stack


def of_resource(rule: Rule) -> ResourceValidationPolicy:
    """The rule as the engine asks it: for each resource, before it is made."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type in rule.types:
            for violation in broken_by_resource(rule, _resource(args)):
                report(violation.message, None)

    return ResourceValidationPolicy(name=rule.name, description=rule.demand, validate=validate)


def of_stack(rule: Rule) -> StackValidationPolicy:
    """The rule as the engine asks it: once, when it has seen all resources."""

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        stack = Stack(_resource(each, _sources(each)) for each in args.resources)
        for violation in broken_by_stack(rule, stack):
            report(violation.message, violation.resource.urn if violation.resource else None)

    return StackValidationPolicy(name=rule.name, description=rule.demand, validate=validate)


def _resource(
    given: ResourceValidationArgs | PolicyResource, sources: Mapping[str, frozenset[str]] | None = None
) -> Resource:
    return Resource(
        type=given.resource_type,
        name=given.name,
        properties=_plain(given.props),
        environment=environment_of(given.urn.split("::")[0].rpartition(":")[2]),
        is_protected=given.opts.protect,
        sources=sources or {},
        urn=given.urn,
    )


def _sources(resource: PolicyResource) -> dict[str, frozenset[str]]:
    return {key: frozenset(each.name for each in found) for key, found in resource.property_dependencies.items()}


def _plain(value: Any) -> Any:
    """Without the library's proxies, which refuse to be read where a value isn't known yet; whole numbers are int."""
    if isinstance(value, Mapping):
        return {key: _read(value, key) for key in value}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_read(value, index) for index in range(len(value))]
    return value


def _read(values: Any, key: Any) -> Any:
    try:
        return _plain(values[key])
    except UnknownValueError:
        return UNKNOWN


if len(sys.argv) < len(("pack", "address of the engine", "folder")):
    sys.exit(
        "This is the policy pack, which Pulumi's engine starts: pulumi preview --policy-pack infra/policies. "
        "Without an account: make policies STACK=aws-sagemaker-prod. The rules are listed in docs/policies.md."
    )
gc.disable()  # the process lives for one run, and nearly all that it makes stays: looking for rubbish is lost time
PolicyPack(
    name="mlops",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[
        *(of_resource(rule) for rule in RULES if rule.check),
        *(of_stack(rule) for rule in RULES if rule.check_among or rule.check_stack),
    ],
)
