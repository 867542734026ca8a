import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.problem import FairnessGate, Problem, load_problem
from ml.training.fairness import RATES, group_labels, group_rates


def problem_about(column: str, minimum_rows: int = 1) -> Problem:
    """The project's problem with one protected attribute."""
    problem = load_problem()
    gates = problem.gates.model_copy(
        update={"fairness": FairnessGate(minimum_group_rows=minimum_rows, minimum_group_cases=1)}
    )
    protected = tuple(p for p in problem.protected if p.column == column)
    return problem.model_copy(update={"protected": protected, "gates": gates})


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.booleans(), st.booleans()), min_size=1, max_size=50))
def test_rates_are_shares_of_the_group(rows: list[tuple[int, bool, bool]]) -> None:
    frame = pd.DataFrame({"SEX": [r[0] for r in rows]})
    positive, held = np.array([r[1] for r in rows], dtype=np.int8), np.array([r[2] for r in rows])
    problem = problem_about("SEX")
    for group in group_rates(problem, frame, positive, held):
        mine = (group_labels(problem, problem.protected[0], frame) == group.group).to_numpy()
        of_positive, of_negative = mine & (positive == 1), mine & (positive == 0)
        assert (group.rows, group.positives) == (mine.sum(), of_positive.sum())
        if not group.rows:
            assert (group.rates, group.judged) == ({}, False)
            continue
        assert group.rates["selection_rate"] == pytest.approx(held[mine].mean())
        assert group.rates["accuracy"] == pytest.approx((held == positive)[mine].mean())
        assert ("true_positive_rate" in group.rates) == of_positive.any()
        assert ("false_positive_rate" in group.rates) == of_negative.any()
        if of_positive.any():
            assert group.rates["true_positive_rate"] == pytest.approx(held[of_positive].mean())
        if of_negative.any():
            assert group.rates["false_positive_rate"] == pytest.approx(held[of_negative].mean())


def test_bands_hold_their_first_value_and_not_their_end() -> None:
    problem = problem_about("AGEP")
    labels = group_labels(problem, problem.protected[0], pd.DataFrame({"AGEP": [17, 24, 25, 89, 90, 3]}))
    assert labels.tolist() == ["17-24", "17-24", "25-44", "65-89", "none of the groups", "none of the groups"]


def test_small_groups_and_undeclared_codes_are_shown_and_not_judged() -> None:
    frame = pd.DataFrame({"SEX": [1] * 20 + [2] * 5 + [9] * 20})
    groups = group_rates(problem_about("SEX", minimum_rows=10), frame, np.ones(45, dtype=np.int8), frame["SEX"] == 1)
    assert {group.group: group.judged for group in groups} == {
        "male": True,
        "female": False,
        "none of the groups": False,
    }
    assert {rate for group in groups for rate in group.rates} <= set(RATES)


def test_a_group_of_the_definition_that_no_row_is_in_is_named() -> None:
    groups = group_rates(
        problem_about("SEX"), pd.DataFrame({"SEX": [1, 1]}), np.ones(2, dtype=np.int8), np.array([True, False])
    )
    assert {(group.group, group.rows, group.judged) for group in groups} == {("male", 2, True), ("female", 0, False)}


def test_no_row_at_all_is_no_traceback() -> None:
    nothing = pd.DataFrame({"SEX": pd.Series([], dtype="int64")})
    groups = group_rates(problem_about("SEX"), nothing, np.zeros(0, dtype=np.int8), np.zeros(0, dtype=bool))
    assert [(group.rows, group.judged) for group in groups] == [(0, False), (0, False)]
