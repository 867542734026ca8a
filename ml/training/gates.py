"""The gates: judge an evaluation by the problem's thresholds, and show what passed, what failed and by how much."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from typing import Literal

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ml.errors import InputRefused
from ml.problem import LatencyGate, Problem, Waiver
from ml.release.manifest import Gate
from ml.training.evaluation import Evaluation
from ml.training.fairness import largest_difference

__all__ = ["judge", "measure_latency", "table"]

LATENCY_CALLS = 100
LATENCY_ROUNDS = 3
WARM_UP_CALLS = 5


def judge(problem: Problem, evaluation: Evaluation, latency_ms: float, today: date) -> tuple[Gate, ...]:
    """Every gate with its result on `today`; InputRefused for a waiver of a gate that doesn't exist.

    Better than the baseline means the bound of the bootstrap interval that is nearer to the baseline.
    """
    gates = tuple(_gates(problem, evaluation, latency_ms))
    names = [gate.name for gate in gates]
    for waiver in problem.waivers:
        if waiver.gate not in names:
            raise InputRefused(
                f"The problem definition waives the gate {waiver.gate!r}, which does not exist. "
                f"Remove the waiver, or name one of: {', '.join(names)}."
            )
    return tuple(_waived(gate, problem.waivers, today) for gate in gates)


def measure_latency(predict: Callable[[pd.DataFrame], object], frame: pd.DataFrame, gate: LatencyGate) -> float:
    """The gate's quantile, in ms, of the time that `predict` takes on `gate.rows` rows of `frame`, warmed up.

    A round above the limit is measured anew, and the best of three counts: other work on the machine makes a round
    slower, never faster. InputRefused where `frame` has fewer rows than that.
    """
    if len(frame) < gate.rows:
        raise InputRefused(f"The latency gate asks for {gate.rows} rows at once; there are {len(frame)} to score.")
    starts = range(0, min(len(frame), LATENCY_CALLS * gate.rows) - gate.rows + 1, gate.rows)
    batches = [frame.iloc[start : start + gate.rows] for start in starts]
    best_ms = np.inf
    with threadpool_limits(1):  # as a server runs it: for so few rows, starting threads costs more than they save
        for batch in batches[:WARM_UP_CALLS]:
            predict(batch)
        for _ in range(LATENCY_ROUNDS):
            best_ms = min(best_ms, float(np.quantile(_round_ms(predict, batches), gate.quantile)))
            if best_ms <= gate.maximum_ms:
                break
    return best_ms


def _round_ms(predict: Callable[[pd.DataFrame], object], batches: list[pd.DataFrame]) -> list[float]:
    durations_ms: list[float] = []
    for number in range(LATENCY_CALLS):
        started = time.perf_counter()
        predict(batches[number % len(batches)])
        durations_ms.append((time.perf_counter() - started) * 1000)
    return durations_ms


def table(gates: tuple[Gate, ...]) -> str:
    """The gates as a plain-text table: gate, measured, demanded, result, and by how much a failed one missed."""
    rows = [("gate", "measured", "demanded", "result")]
    for gate in gates:
        missed = f", missed by {gate.missed_by:.4g}" if gate.missed_by else ""
        until = f" until {gate.waiver_expires:%Y-%m-%d}" if gate.waiver_expires else ""
        rows.append((gate.name, f"{gate.measured:.4f}", gate.demanded, f"{gate.result}{until}{missed}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{name:<{widths[0]}}  {measured:>{widths[1]}}  {demanded:<{widths[2]}}  {result}"
        for name, measured, demanded, result in rows
    )


def _gates(problem: Problem, evaluation: Evaluation, latency_ms: float) -> Iterator[Gate]:
    leakage, quality = problem.gates.data_leakage, problem.gates.quality
    strongest = max(evaluation.single_feature_roc_auc.values())
    yield _gate("data_leakage", strongest, "at most", leakage.maximum_single_feature_roc_auc)
    for name, demanded in (("roc_auc", quality.roc_auc), ("pr_auc", quality.pr_auc)):
        result = evaluation.metric(name)
        yield _gate(name, result.value, "at least", demanded.minimum)
        gain = _given(result.difference_low)
        yield _gate(f"{name}_over_baseline", gain, "at least", demanded.better_than_baseline_by)
    cost = evaluation.metric("expected_cost")
    yield _gate("expected_cost", cost.value, "at most", quality.expected_cost.maximum)
    saving = -_given(cost.difference_high)
    yield _gate("expected_cost_over_baseline", saving, "at least", quality.expected_cost.better_than_baseline_by)
    calibration = evaluation.metric("calibration_error").value
    yield _gate("calibration_error", calibration, "at most", quality.calibration_error.maximum)
    for attribute in problem.protected:
        for rate, limit in attribute.limits.items():
            difference = largest_difference(evaluation.fairness, attribute.column, rate)
            yield _gate(f"fairness.{attribute.column}.{rate}", difference, "at most", limit)
    if evaluation.champion is not None:
        # The bound farther from the champion: "not worse" must be shown, not just not refuted (non-inferiority).
        increase = _given(evaluation.champion.metric("expected_cost").difference_high)
        yield _gate("expected_cost_over_champion", increase, "at most", problem.retraining.maximum_cost_increase)
    yield _gate("latency_ms", latency_ms, "at most", problem.gates.latency.maximum_ms)


def _given(bound: float | None) -> float:
    if bound is None:
        raise InputRefused("The evaluation has no interval of the difference to the baseline. Train again.")
    return bound


def _gate(name: str, measured: float, direction: Literal["at least", "at most"], limit: float) -> Gate:
    missed_by = max(0.0, limit - measured if direction == "at least" else measured - limit)
    # Not `missed_by > 0`: a measurement that is not a number must fail.
    passed = measured >= limit if direction == "at least" else measured <= limit
    return Gate(
        name=name,
        measured=measured,
        demanded=f"{direction} {limit:g}",
        missed_by=missed_by,
        result="passed" if passed else "failed",
    )


def _waived(gate: Gate, waivers: tuple[Waiver, ...], today: date) -> Gate:
    """A failed gate with what its waivers make of it: an expired one is named and helps no more."""
    own = sorted((w for w in waivers if w.gate == gate.name), key=lambda w: w.expires)
    if gate.result == "passed" or not own:
        return gate
    last = own[-1]
    if last.expires < today:
        return gate.model_copy(update={"demanded": f"{gate.demanded} (waiver expired {last.expires})"})
    expires = datetime.combine(last.expires, time_of_day.max, UTC)
    return gate.model_copy(update={"result": "waived", "waiver_expires": expires})
