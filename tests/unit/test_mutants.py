"""The list of mistakes that `make mutants` plants can't rot: each stands where it says, and its tests are there."""

import pytest

from infra.engine.environ import PROJECT
from tests.mutants.__main__ import Mutant, listed

MUTANTS = listed()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}:{mutant.of[:40]}")
def test_a_mistake_can_be_planted_where_its_entry_says(mutant: Mutant) -> None:
    before = (PROJECT / mutant.file).read_text(encoding="utf-8")
    planted = mutant.planted_in(PROJECT)
    assert planted != before
    if mutant.file.endswith(".py"):
        compile(planted, mutant.file, "exec")  # a file that can't be read is noticed by anything


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}:{mutant.of[:40]}")
def test_the_tests_that_should_notice_it_are_there(mutant: Mutant) -> None:
    assert mutant.tests
    for test in mutant.tests:
        file, _, name = test.partition("::")
        text = (PROJECT / file).read_text(encoding="utf-8")
        assert not name or f"def {name.partition('[')[0]}(" in text, test


def test_no_mistake_is_listed_twice() -> None:
    planted = [(mutant.file, mutant.planted_in(PROJECT)) for mutant in MUTANTS]
    assert len(set(planted)) == len(planted)
