"""The rules applied, without an engine: pure functions over resources."""

from collections.abc import Iterable, Iterator, Sequence

from infra.policies import databricks, databricks_access
from infra.policies.aws import AREAS as AWS
from infra.policies.rule import NotKnownYet, Resource, Rule, Stack, Violation

__all__ = ["AREAS", "RULES", "broken_by_resource", "broken_by_stack", "environment_of", "violations"]

AREAS = AWS | {"Databricks": (*databricks.RULES, *databricks_access.RULES)}
RULES: tuple[Rule, ...] = tuple(rule for rules in AREAS.values() for rule in rules)
ENVIRONMENTS = ("dev", "test", "prod")


def violations(resources: Sequence[Resource], rules: Iterable[Rule] = RULES) -> list[Violation]:
    """Every rule that these resources, a whole stack, break."""
    stack, found = Stack(resources), list[Violation]()
    for rule in rules:
        for resource in stack.of(*rule.types):
            found += broken_by_resource(rule, resource)
        found += broken_by_stack(rule, stack)
    return found


def broken_by_resource(rule: Rule, resource: Resource) -> Iterator[Violation]:
    """What the resource alone breaks of the rule, as far as its values are known."""
    if rule.check and resource.type in rule.types:
        yield from _found(rule, rule.check(resource), resource)


def broken_by_stack(rule: Rule, stack: Stack) -> Iterator[Violation]:
    """What the resources together break of the rule, as far as their values are known."""
    if rule.check_among:
        for resource in stack.of(*rule.types):
            yield from _found(rule, rule.check_among(resource, stack), resource)
    if rule.check_stack:
        yield from _found(rule, rule.check_stack(stack), None)


def _found(rule: Rule, facts: Iterable[str], resource: Resource | None) -> Iterator[Violation]:
    try:
        for fact in facts:
            yield Violation(rule, fact, resource)
    except NotKnownYet:
        return
    except (TypeError, ValueError, AttributeError, LookupError) as error:  # what can't be read isn't let through
        yield Violation(rule, f"the rule can't read a value of it ({error})", resource)


def environment_of(stack: str) -> str:
    """The environment in a stack's name; a name without one is judged as strictly as PROD."""
    last = stack.rpartition("-")[2]
    return last if last in ENVIRONMENTS else "prod"
