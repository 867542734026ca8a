"""Each rule is broken by programs that break it, and by no program that keeps it."""

import copy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from infra.policies.check import RULES, violations
from infra.policies.rule import UNKNOWN, Resource
from infra.simulation.schema import Type, installed_packages, problems, resource_schema
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
        if resource.type.partition(":")[0] in installed_packages():
            schema = resource_schema(resource.type)
            assert schema, f"no installed SDK has {resource.type}"
            given = {key: value for key, value in resource.properties.items() if value is not None}
            found = problems(given, Type("object", properties=schema.inputs))
            assert [each for each in found if "there is no such property" in each.reason] == []


@pytest.mark.parametrize(("name", "program"), PROGRAMS)
def test_a_value_of_any_kind_is_judged_or_refused_with_a_sentence(name: str, program: list[Resource]) -> None:
    for number, resource in enumerate(program):
        for way in _ways(dict(resource.properties)):
            for odd in ("odd", "", "-1", 0, []):
                changed = replace(resource, properties=_with(dict(resource.properties), way, odd))
                for found in violations([*program[:number], changed, *program[number + 1 :]], [BY_NAME[name]]):
                    assert found.message.endswith(f". {BY_NAME[name].remedy}.")


@pytest.mark.parametrize(("name", "program"), PROGRAMS)
def test_a_value_that_is_not_known_yet_is_never_held_against_a_program(name: str, program: list[Resource]) -> None:
    """A preview refuses nothing that an `up` would accept: without the values there is no fact that they don't give."""
    unknown = [replace(each, properties=dict.fromkeys(each.properties, UNKNOWN)) for each in program]
    if BY_NAME[name].check:
        found = {each.fact for each in violations(unknown, [BY_NAME[name]])}
        assert found <= {each.fact for each in violations(program, [BY_NAME[name]])}


def test_the_pack_says_what_it_is_to_who_starts_it_by_hand() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.policies", "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "pulumi preview --policy-pack infra/policies" in done.stderr


def _ways(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all values within."""
    if way:
        yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from _ways(each, (*way, key))


def _with(value: Any, way: tuple[Any, ...], odd: Any) -> Any:
    if not way:
        return odd
    changed = copy.copy(value)
    changed[way[0]] = _with(value[way[0]], way[1:], odd)
    return changed
