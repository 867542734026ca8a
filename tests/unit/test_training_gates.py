from datetime import date

import numpy as np
import pandas as pd
import pytest

from ml.errors import InputRefused
from ml.problem import LatencyGate, Problem, Waiver, load_problem
from ml.release.manifest import Gate, GroupRates, MetricResult
from ml.training.evaluation import Evaluation
from ml.training.gates import judge, measure_latency, table

TODAY = date(2026, 3, 1)


def metric(name: str, value: float, low: float = 0.0, high: float = 0.0) -> MetricResult:
    return MetricResult(name=name, value=value, baseline=0.5, difference_low=low, difference_high=high)


def evaluation(**changes: object) -> Evaluation:
    """One that passes every gate of the problem."""
    rates = {"true_positive_rate": 0.8, "false_positive_rate": 0.2}
    fields: dict[str, object] = {
        "candidate": "boosting",
        "parameters": {},
        "decision_threshold": 0.5,
        "test_rows": 1000,
        "metrics": (
            metric("roc_auc", 0.9, low=0.2),
            metric("pr_auc", 0.9, low=0.2),
            metric("expected_cost", 0.2, low=-0.3, high=-0.2),
            metric("calibration_error", 0.01),
        ),
        "fairness": tuple(
            GroupRates(attribute=a.column, group=group, rows=900, rates=rates, judged=True)
            for a in load_problem().protected
            for group in "ab"
        ),
        "single_feature_roc_auc": {"AGEP": 0.7, "DIS": 0.6},
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
    gates = judge(load_problem(), evaluation(), 5.0, TODAY)
    assert {gate.result for gate in gates} == {"passed"}
    assert {gate.missed_by for gate in gates} == {0.0}
    names = {gate.name for gate in gates}
    assert {"data_leakage", "roc_auc", "pr_auc", "expected_cost", "calibration_error", "latency_ms"} <= names
    expected = {f"fairness.{a.column}.{rate}" for a in load_problem().protected for rate in a.limits}
    assert {name for name in names if name.startswith("fairness.")} == expected


@pytest.mark.parametrize(
    ("gate", "changes", "latency_ms"),
    [
        ("data_leakage", {"single_feature_roc_auc": {"AGEP": 0.999}}, 5.0),
        ("roc_auc", {"metrics": (metric("roc_auc", 0.7, low=0.2), *evaluation().metrics[1:])}, 5.0),
        ("roc_auc_over_baseline", {"metrics": (metric("roc_auc", 0.9, low=0.01), *evaluation().metrics[1:])}, 5.0),
        (
            "expected_cost_over_baseline",
            {
                "metrics": (
                    *evaluation().metrics[:2],
                    metric("expected_cost", 0.2, -0.3, -0.01),
                    evaluation().metrics[3],
                )
            },
            5.0,
        ),
        ("calibration_error", {"metrics": (*evaluation().metrics[:3], metric("calibration_error", 0.2))}, 5.0),
        ("latency_ms", {}, 5000.0),
        ("latency_ms", {}, float("nan")),
    ],
)
def test_one_fault_fails_its_own_gate_alone(gate: str, changes: dict[str, object], latency_ms: float) -> None:
    gates = judge(load_problem(), evaluation(**changes), latency_ms, TODAY)
    assert [g.name for g in gates if g.result == "failed"] == [gate]


def test_the_largest_difference_between_judged_groups_is_what_counts() -> None:
    column = load_problem().protected[0].column
    unequal = GroupRates(
        attribute=column,
        group="c",
        rows=900,
        rates={"true_positive_rate": 0.2, "false_positive_rate": 0.2},
        judged=True,
    )
    failed = by_name(judge(load_problem(), evaluation(fairness=(*evaluation().fairness, unequal)), 5.0, TODAY))
    gate = failed[f"fairness.{column}.true_positive_rate"]
    limit = load_problem().protected[0].limits["true_positive_rate"]
    assert (gate.result, gate.measured) == ("failed", pytest.approx(0.6))
    assert gate.missed_by == pytest.approx(0.6 - limit)
    small = unequal.model_copy(update={"judged": False, "rows": 3})
    passed = judge(load_problem(), evaluation(fairness=(*evaluation().fairness, small)), 5.0, TODAY)
    assert {g.result for g in passed} == {"passed"}


def test_a_waiver_holds_through_its_last_day_and_not_beyond() -> None:
    problem = with_waivers(waiver("latency_ms", TODAY))
    gate = by_name(judge(problem, evaluation(), 5000.0, TODAY))["latency_ms"]
    assert gate.result == "waived"
    assert gate.waiver_expires is not None
    assert gate.waiver_expires.date() == TODAY
    assert gate.missed_by > 0
    expired = by_name(judge(problem, evaluation(), 5000.0, date(2026, 3, 2)))["latency_ms"]
    assert expired.result == "failed"
    assert "waiver expired 2026-03-01" in expired.demanded


def test_the_latest_of_two_waivers_counts() -> None:
    problem = with_waivers(waiver("latency_ms", date(2026, 12, 1)), waiver("latency_ms", date(2025, 1, 1)))
    assert by_name(judge(problem, evaluation(), 5000.0, TODAY))["latency_ms"].result == "waived"


def test_a_waiver_changes_nothing_about_a_gate_that_passes() -> None:
    gates = judge(with_waivers(waiver("latency_ms", TODAY)), evaluation(), 5.0, TODAY)
    assert {gate.result for gate in gates} == {"passed"}


def test_a_waiver_of_no_gate_is_refused() -> None:
    with pytest.raises(InputRefused, match=r"'latncy'.*latency_ms"):
        judge(with_waivers(waiver("latncy", TODAY)), evaluation(), 5.0, TODAY)


def test_the_table_says_what_failed_and_by_how_much() -> None:
    problem = with_waivers(waiver("calibration_error", date(2026, 4, 1)))
    metrics = (metric("roc_auc", 0.7, low=0.2), *evaluation().metrics[1:3], metric("calibration_error", 0.5))
    lines = table(judge(problem, evaluation(metrics=metrics), 5.0, TODAY)).splitlines()
    row = {line.split()[0]: line for line in lines}
    short = problem.gates.quality.roc_auc.minimum - 0.7
    assert "failed" in row["roc_auc"]
    assert f"missed by {short:.4g}" in row["roc_auc"]
    assert f"at least {problem.gates.quality.roc_auc.minimum:g}" in row["roc_auc"]
    assert "waived until 2026-04-01" in row["calibration_error"]
    assert row["latency_ms"].endswith("passed")


def test_latency_is_the_quantile_of_calls_of_so_many_rows() -> None:
    sizes: list[int] = []
    frame = pd.DataFrame({"a": np.arange(10)})
    latency_ms = measure_latency(
        lambda rows: sizes.append(len(rows)), frame, LatencyGate(rows=3, quantile=0.95, maximum_ms=1)
    )
    assert set(sizes) == {3}
    assert len(sizes) >= 100
    assert latency_ms >= 0


def test_latency_needs_enough_rows() -> None:
    with pytest.raises(InputRefused, match="3 rows at once; there are 2"):
        measure_latency(lambda _: None, pd.DataFrame({"a": [1, 2]}), LatencyGate(rows=3, quantile=0.5, maximum_ms=1))


@pytest.mark.parametrize(("disturbed", "passes"), [(150, True), (10_000, False)])
def test_a_moment_of_other_work_does_not_fail_a_release_that_is_fast_enough(
    monkeypatch: pytest.MonkeyPatch, disturbed: int, passes: bool
) -> None:
    """The clock advances by 1 ms a call, by 50 while the machine is busy."""
    calls, clock = iter(range(100_000)), [0.0]
    monkeypatch.setattr("ml.training.gates.time.perf_counter", lambda: clock[0])

    def predict(_: pd.DataFrame) -> None:
        clock[0] += 0.05 if next(calls) < disturbed else 0.001

    gate = LatencyGate(rows=1, quantile=0.95, maximum_ms=10)
    latency_ms = measure_latency(predict, pd.DataFrame({"a": range(5)}), gate)
    assert (latency_ms <= gate.maximum_ms) == passes
    assert latency_ms == pytest.approx(1 if passes else 50)
