"""The shipped stacks keep every rule, planted mistakes are stopped, and the page about both is true."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.engine.environ import PROJECT
from infra.policies.check import RULES, environment_of, violations
from infra.policies.table import FILE, render, with_section
from tests.plans import shared_plan
from tests.seeds.mistakes import mistakes
from tests.seeds.report import Outcome, outcomes, summary

STACKS = sorted(file.stem.removeprefix("Pulumi.") for file in (PROJECT / "stacks").glob("Pulumi.aws-*.yaml"))
CHALLENGER = {"release": "sha256:" + "c" * 64}


@pytest.fixture(scope="module")
def planted() -> Iterator[list[Outcome]]:
    with tempfile.TemporaryDirectory() as folder:
        yield outcomes(Path(folder))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("preview", [False, True], ids=["whole", "preview"])
def test_shipped_stacks_keep_every_rule_with_no_exception(stack: str, preview: bool) -> None:
    planned = shared_plan(stack, preview=preview)
    assert len(planned.resources) > 50
    assert [str(each) for each in violations(planned.resources)] == []


def test_so_they_do_before_the_first_release_and_with_a_challenger() -> None:
    empty = shared_plan("aws-sagemaker-prod", released=False)
    tried = shared_plan("aws-sagemaker-prod", **{"mlops:challenger": CHALLENGER})
    assert violations(empty.resources) == violations(tried.resources) == []


def test_planted_mistakes_are_stopped_before_anything_is_made(planted: list[Outcome]) -> None:
    assert len(planted) >= 80
    assert sum(bool(each.by) for each in planted) / len(planted) >= 0.95


def test_each_mistake_that_is_not_stopped_has_a_reason_and_no_other_has_one(planted: list[Outcome]) -> None:
    assert [each.mistake.text for each in planted if bool(each.by) == ("because" in each.mistake.given)] == []


def test_each_mistake_is_one() -> None:
    """The program without it is accepted, so what stops it is the mistake; and it changes something."""
    whole = shared_plan("aws-sagemaker-prod").resources
    for mistake in mistakes():
        if mistake.stack == "aws-sagemaker-prod" and mistake.config is None and mistake.given.get("add") != {}:
            assert mistake.made_in(whole) != whole, mistake.text


def test_the_page_lists_the_rules_and_the_mistakes_as_they_are(planted: list[Outcome]) -> None:
    """Else run `python -m infra.policies.table` and `python -m tests.seeds --write`."""
    page = FILE.read_text(encoding="utf-8")
    assert with_section(with_section(page, "rules", render()), "mistakes", summary(planted)) == page


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_demands_in_one_sentence_and_is_checked_in_one_way_at_least(rule: object) -> None:
    found = next(each for each in RULES if each is rule)
    assert found.demand.endswith(".")
    assert not found.remedy.endswith(".")
    assert found.check or found.check_among or found.check_stack
    assert bool(found.types) == bool(found.check or found.check_among)


def test_a_stack_without_an_environment_in_its_name_is_judged_as_prod() -> None:
    assert [environment_of(stack) for stack in ("aws-sagemaker-dev", "x-test", "main")] == ["dev", "test", "prod"]
