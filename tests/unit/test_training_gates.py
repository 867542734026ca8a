import math
import re
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.bundle.evaluation import ChampionComparison, Evaluation
from ml.bundle.gate_table import table
from ml.bundle.judgement import Figure, demands, judged
from ml.bundle.manifest import NO_GROUP, Evidence, Gate, GroupRates, MetricResult
from ml.errors import InputRefused
from ml.problem import Problem, Waiver, load_problem
from ml.training.gates import judge
from ml.training.latency import Latency

TODAY = date(2026, 3, 1)
FAST, SLOW = Latency(5.0, 100), Latency(5000.0, 100)
ALONE = dict.fromkeys(load_problem().feature_names, 0.6)


def metric(name: str, value: float, low: float = 0.0, high: float = 0.0) -> MetricResult:
    return MetricResult(name=name, value=value, baseline=0.5, difference_low=low, difference_high=high)


def evaluation(**changes: object) -> Evaluation:
    """One that passes every gate of the problem."""
    rates = {"true_positive_rate": 0.8, "false_positive_rate": 0.2}
    fields: dict[str, object] = {
        "candidate": "boosting",
        "parameters": {},
        "decision_threshold": 0.5,
        "train_rows": 4000,
        "train_positives": 2000,
        "test_rows": 2000,
        "test_positives": 1000,
        "metrics": (
            metric("roc_auc", 0.9, low=0.2),
            metric("pr_auc", 0.9, low=0.2),
            metric("expected_cost", 0.2, low=-0.3, high=-0.2),
            metric("calibration_error", 0.01),
        ),
        "fairness": tuple(
            GroupRates(attribute=a.column, group=group, rows=900, positives=450, rates=rates, judged=True)
            for a in load_problem().protected
            for group in "ab"
        ),
        "single_feature_roc_auc": ALONE,
        "data": {},
        "code_commit": "0" * 40,
        "code_modified": False,
        "problem_digest": f"sha256:{'0' * 64}",
        "environment": {},
    }
    return Evaluation.model_validate(fields | changes)


def with_waivers(*waivers: Waiver) -> Problem:
    return load_problem().model_copy(update={"waivers": waivers})


def waiver(gate: str, expires: date) -> Waiver:
    return Waiver(gate=gate, reason="agreed with the owner", approved_by="someone", expires=expires)


def by_name(gates: tuple[Gate, ...]) -> dict[str, Gate]:
    return {gate.name: gate for gate in gates}


def test_a_good_model_passes_every_gate_of_the_problem() -> None:
    gates = judge(load_problem(), evaluation(), FAST, TODAY)
    assert {gate.result for gate in gates} == {"passed"}
    assert {gate.missed_by for gate in gates} == {0.0}
    names = {gate.name for gate in gates}
    assert {"data_leakage", "roc_auc", "pr_auc", "expected_cost", "calibration_error", "latency_ms"} <= names
    expected = {f"fairness.{a.column}.{rate}" for a in load_problem().protected for rate in a.limits}
    assert {name for name in names if name.startswith("fairness.")} == expected


@pytest.mark.parametrize(
    ("gate", "changes", "latency"),
    [
        ("data_leakage", {"single_feature_roc_auc": ALONE | {"AGEP": 0.999}}, FAST),
        ("roc_auc", {"metrics": (metric("roc_auc", 0.7, low=0.2), *evaluation().metrics[1:])}, FAST),
        ("roc_auc_over_baseline", {"metrics": (metric("roc_auc", 0.9, low=0.01), *evaluation().metrics[1:])}, FAST),
        (
            "expected_cost_over_baseline",
            {
                "metrics": (
                    *evaluation().metrics[:2],
                    metric("expected_cost", 0.2, -0.3, -0.01),
                    evaluation().metrics[3],
                )
            },
            FAST,
        ),
        ("calibration_error", {"metrics": (*evaluation().metrics[:3], metric("calibration_error", 0.2))}, FAST),
        ("latency_ms", {}, SLOW),
    ],
)
def test_one_fault_fails_its_own_gate_alone(gate: str, changes: dict[str, object], latency: Latency) -> None:
    gates = judge(load_problem(), evaluation(**changes), latency, TODAY)
    assert [g.name for g in gates if g.result == "failed"] == [gate]


@pytest.mark.parametrize(("high", "result"), [(0.0, "passed"), (1.0, "failed")])
def test_that_a_challenger_is_no_worse_must_be_shown_and_not_just_not_refuted(high: float, result: str) -> None:
    compared = ChampionComparison(
        release=f"sha256:{'a' * 64}",
        rows=1_000_000,
        positives=500_000,
        since=datetime(2026, 1, 1, tzinfo=UTC),
        until=datetime(2026, 2, 1, tzinfo=UTC),
        metrics=(metric("expected_cost", 0.2, low=-1.0, high=high),),
    )
    gates = by_name(judge(load_problem(), evaluation(champion=compared), FAST, TODAY))
    assert gates["expected_cost_over_champion"].result == result


def test_the_largest_difference_between_judged_groups_is_what_counts() -> None:
    column = load_problem().protected[0].column
    unequal = GroupRates(
        attribute=column,
        group="c",
        rows=900,
        positives=450,
        rates={"true_positive_rate": 0.2, "false_positive_rate": 0.2},
        judged=True,
    )
    failed = by_name(judge(load_problem(), evaluation(fairness=(*evaluation().fairness, unequal)), FAST, TODAY))
    gate = failed[f"fairness.{column}.true_positive_rate"]
    limit = load_problem().protected[0].limits["true_positive_rate"]
    assert (gate.result, gate.measured) == ("failed", pytest.approx(0.6))
    assert gate.missed_by == pytest.approx(0.6 - limit)
    small = unequal.model_copy(update={"rows": 3, "positives": 2})
    passed = judge(load_problem(), evaluation(fairness=(*evaluation().fairness, small)), FAST, TODAY)
    assert {g.result for g in passed} == {"passed"}
    gate = by_name(passed)[f"fairness.{column}.true_positive_rate"]
    assert gate.evidence is not None
    assert (gate.evidence.groups, gate.evidence.groups_left_out) == ({"a": 900, "b": 900}, {"c": 3})
    assert f"Too small to judge by fairness.{column}.true_positive_rate" in table(passed)


def test_a_waiver_holds_through_its_last_day_and_not_beyond() -> None:
    problem = with_waivers(waiver("latency_ms", TODAY))
    gate = by_name(judge(problem, evaluation(), SLOW, TODAY))["latency_ms"]
    assert gate.result == "waived"
    assert gate.waiver_expires is not None
    assert gate.waiver_expires.date() == TODAY
    assert gate.missed_by > 0
    expired = by_name(judge(problem, evaluation(), SLOW, date(2026, 3, 2)))["latency_ms"]
    assert expired.result == "failed"
    assert "waiver expired 2026-03-01" in expired.demanded


def test_the_latest_of_two_waivers_counts() -> None:
    problem = with_waivers(waiver("latency_ms", date(2026, 12, 1)), waiver("latency_ms", date(2025, 1, 1)))
    assert by_name(judge(problem, evaluation(), SLOW, TODAY))["latency_ms"].result == "waived"


def test_a_waiver_changes_nothing_about_a_gate_that_passes() -> None:
    gates = judge(with_waivers(waiver("latency_ms", TODAY)), evaluation(), FAST, TODAY)
    assert {gate.result for gate in gates} == {"passed"}


def test_a_waiver_of_no_gate_is_refused() -> None:
    with pytest.raises(InputRefused, match=r"'latncy'.*latency_ms"):
        judge(with_waivers(waiver("latncy", TODAY)), evaluation(), FAST, TODAY)


def test_the_table_says_what_failed_and_by_how_much() -> None:
    problem = with_waivers(waiver("calibration_error", date(2026, 4, 1)))
    metrics = (metric("roc_auc", 0.7, low=0.2), *evaluation().metrics[1:3], metric("calibration_error", 0.5))
    lines = table(judge(problem, evaluation(metrics=metrics), FAST, TODAY)).splitlines()
    row = {line.split()[0]: line for line in lines}
    short = problem.gates.quality.roc_auc.minimum - 0.7
    assert "failed" in row["roc_auc"]
    assert f"missed by {short:.4g}" in row["roc_auc"]
    assert f"at least {problem.gates.quality.roc_auc.minimum:g}" in row["roc_auc"]
    assert "waived until 2026-04-01" in row["calibration_error"]
    assert row["latency_ms"].endswith("passed")


def of_sizes(*sizes: tuple[int, int], rate: float = 0.0) -> tuple[GroupRates, ...]:
    """Groups of the first protected attribute by rows and positives: of each second one everybody is held positive."""
    return tuple(
        GroupRates(
            attribute=load_problem().protected[0].column,
            group=f"g{number}",
            rows=rows,
            positives=positives,
            rates=dict.fromkeys(("true_positive_rate", "false_positive_rate"), rate if number % 2 else 0.0),
            judged=True,
        )
        for number, (rows, positives) in enumerate(sizes)
    )


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ((), "fewer than two groups have 500 rows and 100 positives: no group"),
        (of_sizes((5000, 2500)), "fewer than two groups"),
        (of_sizes((360, 190), (350, 180), rate=1.0), r"fewer than two groups .* g0 \(360\), g1 \(350\)"),
        (of_sizes((5000, 2500), (5000, 0), rate=1.0), "fewer than two groups"),
        (of_sizes((1000, 500), (1000, 500), (450, 450), rate=0.01), "hold 69.0% of the positives; at least 95%"),
    ],
)
def test_too_few_groups_or_cases_to_compare_are_not_a_pass(groups: tuple[GroupRates, ...], says: str) -> None:
    """710 rows, a model that says yes to every man and no to every woman: a difference of 1 that nobody could see."""
    problem = load_problem()
    own = problem.protected[0].column
    others = tuple(group for group in evaluation().fairness if group.attribute != own)
    gates = by_name(judge(problem, evaluation(fairness=(*groups, *others)), FAST, TODAY))
    gate = gates[f"fairness.{own}.true_positive_rate"]
    assert gate.result == "not_judged"
    assert not gate.lets_pass
    assert re.search(says, str(gate.note))
    assert {g.result for g in gates.values() if own not in g.name} == {"passed"}


@pytest.mark.parametrize(
    ("changes", "not_judged"),
    [
        ({"test_rows": 30, "test_positives": 15}, "roc_auc"),
        ({"test_rows": 5000, "test_positives": 0}, "expected_cost_over_baseline"),
        ({"test_rows": 5000, "test_positives": 4999}, "calibration_error"),
        ({"test_positives": None}, "pr_auc"),
        ({"train_rows": 20, "train_positives": 10}, "data_leakage"),
        ({"single_feature_roc_auc": {}}, "data_leakage"),
        ({"single_feature_roc_auc": ALONE | {"DIS": math.nan}}, "data_leakage"),
        ({"single_feature_roc_auc": {name: auc for name, auc in ALONE.items() if name != "DIS"}}, "data_leakage"),
        ({"metrics": ()}, "roc_auc"),
        ({"metrics": (MetricResult(name="roc_auc", value=None),)}, "roc_auc"),
        ({"metrics": (MetricResult(name="roc_auc", value=0.9),)}, "roc_auc_over_baseline"),
    ],
)
def test_a_figure_on_too_few_rows_or_of_one_class_is_not_judged(changes: dict[str, object], not_judged: str) -> None:
    gate = by_name(judge(load_problem(), evaluation(**changes), FAST, TODAY))[not_judged]
    assert gate.result == "not_judged"
    assert gate.note
    assert "not judged: " in table((gate,))


@pytest.mark.parametrize("latency", [Latency(None, 0), Latency(1.0, 3), Latency(float("nan"), 100)])
def test_a_latency_of_no_or_few_calls_is_not_judged(latency: Latency) -> None:
    assert by_name(judge(load_problem(), evaluation(), latency, TODAY))["latency_ms"].result == "not_judged"


def test_a_machine_that_is_too_busy_is_a_result_of_its_own_and_can_be_waived() -> None:
    busy = Latency(300.0, 100, "the machine is too busy to judge")
    gate = by_name(judge(load_problem(), evaluation(), busy, TODAY))["latency_ms"]
    assert (gate.result, gate.measured, gate.note) == ("not_judged", 300.0, busy.why_not)
    waived = by_name(judge(with_waivers(waiver("latency_ms", TODAY)), evaluation(), busy, TODAY))["latency_ms"]
    assert (waived.result, waived.note) == ("waived", busy.why_not)


COUNTS = st.none() | st.integers(0, 3000)
FIGURES = st.none() | st.floats()


@given(
    name=st.sampled_from([demand.name for demand in demands(load_problem())]),
    value=FIGURES,
    rows=COUNTS,
    positives=COUNTS,
    waives=st.booleans(),
)
def test_no_gate_passes_on_less_than_its_evidence(
    name: str, value: float | None, rows: int | None, positives: int | None, waives: bool
) -> None:
    demand = next(each for each in demands(load_problem()) if each.name == name)
    gate = demand.judge(Figure(value, Evidence(rows=rows, positives=positives)))
    counted, positive = rows or 0, positives or 0
    enough = counted >= demand.rows and positive >= demand.positives and counted - positive >= demand.negatives
    measured = value is not None and math.isfinite(value)
    assert (gate.result == "not_judged") == (not (enough and measured))
    assert gate.lets_pass == (gate.result == "passed")
    assert bool(gate.note) == (gate.result == "not_judged")
    assert Gate.model_validate_json(gate.model_dump_json()) == gate
    problem = with_waivers(waiver(name, TODAY)) if waives else load_problem()
    (again,) = (
        each for each in judged(problem, {name: Figure(value, gate.evidence or Evidence())}, TODAY) if each.name == name
    )
    assert again.lets_pass == (gate.lets_pass or waives)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", NO_GROUP]), st.integers(0, 2000), st.floats(0, 1), st.none() | st.floats()
        ),
        max_size=5,
        unique_by=lambda each: each[0],
    )
)
def test_no_fairness_gate_passes_without_two_groups_and_most_of_the_rows(
    drawn: list[tuple[str, int, float, float | None]],
) -> None:
    problem, own = load_problem(), load_problem().protected[0].column
    gate, name = problem.gates.fairness, f"fairness.{own}.true_positive_rate"
    groups = tuple(
        GroupRates(
            attribute=own,
            group=group,
            rows=rows,
            positives=int(rows * share),
            rates={} if rate is None else {"true_positive_rate": rate},
            judged=True,
        )
        for group, rows, share, rate in drawn
    )
    result = by_name(judge(problem, evaluation(fairness=groups), FAST, TODAY))[name]
    judged_groups = [
        g
        for g in groups
        if g.group != NO_GROUP
        and g.rows >= gate.minimum_group_rows
        and (g.positives or 0) >= gate.minimum_group_cases
        and math.isfinite(g.rates.get("true_positive_rate", math.nan))
    ]
    inside, everybody = (sum(g.positives or 0 for g in some) for some in (judged_groups, groups))
    enough = len(judged_groups) > 1 and inside >= gate.minimum_judged_share * everybody
    assert (result.result == "not_judged") == (not enough)
    if result.result == "passed":
        rates = [g.rates["true_positive_rate"] for g in judged_groups]
        assert max(rates) - min(rates) <= problem.protected[0].limits["true_positive_rate"]
    assert result.evidence is not None
    assert result.evidence.groups == {g.group: g.rows for g in judged_groups}
