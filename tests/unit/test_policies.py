"""Each rule is broken by programs that break it, and by no program that keeps it."""

import pytest

from infra.policies.check import RULES, violations
from infra.policies.rule import UNKNOWN, Resource
from infra.simulation.schema import Type, problems, resource_schema
from tests.policy_cases import CASES

BY_NAME = {rule.name: rule for rule in RULES}
PROGRAMS = [(name, program) for name, (keeps, breaks) in CASES.items() for program in (keeps, *breaks)]


def test_every_rule_has_a_program_that_keeps_it_and_one_that_breaks_it() -> None:
    assert CASES.keys() == BY_NAME.keys()
    assert all(breaks for _, breaks in CASES.values())
    assert len(RULES) == len(BY_NAME) >= 40


@pytest.mark.parametrize("name", CASES)
def test_a_program_that_keeps_a_rule_is_accepted(name: str) -> None:
    assert [str(each) for each in violations(CASES[name][0], [BY_NAME[name]])] == []


@pytest.mark.parametrize("name", CASES)
def test_a_program_that_breaks_a_rule_is_told_what_is_wrong_where_and_what_to_do(name: str) -> None:
    for program in CASES[name][1]:
        found = violations(program, [BY_NAME[name]])
        assert found, program
        for violation in found:
            assert violation.message.endswith(f". {BY_NAME[name].remedy}.")
            assert violation.message[0].isupper()
            assert "None" not in violation.message
            assert violation.resource in (None, *program)


@pytest.mark.parametrize(("name", "program"), PROGRAMS)
def test_the_programs_have_properties_that_the_sdk_knows(name: str, program: list[Resource]) -> None:
    """So that no rule looks where nothing ever is."""
    for resource in program:
        if resource.type.startswith("aws:"):
            schema = resource_schema(resource.type)
            assert schema, f"no installed SDK has {resource.type}"
            given = {key: value for key, value in resource.properties.items() if value is not None}
            found = problems(given, Type("object", properties=schema.inputs))
            assert [each for each in found if "there is no such property" in each.reason] == []


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_known_yet_breaks_no_rule(name: str) -> None:
    """A preview must not refuse what an `up` would accept: with every value unknown no rule of one resource speaks."""
    rule = BY_NAME[name]
    for program in CASES[name][1]:
        unknown = [
            Resource(
                each.type, each.name, dict.fromkeys(each.properties, UNKNOWN), each.environment, True, each.sources
            )
            for each in program
        ]
        if rule.check and all(each.properties for each in program):
            found = violations(unknown, [rule])
            told = {each.fact for each in violations([_bare(each) for each in program], [rule])}
            assert {each.fact for each in found} <= told, program


def _bare(resource: Resource) -> Resource:
    """The resource with nothing stated: what is wrong with it then is wrong whatever the values are."""
    return Resource(resource.type, resource.name, {}, resource.environment, True, resource.sources)
