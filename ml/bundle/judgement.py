"""What each gate demands, and how a figure with its evidence is judged: passed, failed, not judged, or waived.

Pure functions of the problem definition and of figures, so that a release is judged alike where it is made and where
it arrives.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final, Literal

from ml.bundle.disparity import group_difference
from ml.bundle.manifest import Evidence, Gate, GroupRates
from ml.errors import InputRefused
from ml.problem import LatencyGate, Problem, Waiver

__all__ = [
    "CHAMPION",
    "PROMOTION_CHECKS",
    "Demand",
    "Figure",
    "demands",
    "fairness_figures",
    "judged",
    "latency_calls",
    "waived",
]

CHAMPION: Final = "expected_cost_over_champion"  # of a challenger alone
PROMOTION_CHECKS: Final = ("definition", "shadow")  # what only a receiving environment judges, and a waiver may name
CALLS_BEYOND: Final = 5  # a quantile is judged when at least so many calls can lie beyond it
FEWEST_CALLS: Final = 100


@dataclass(frozen=True)
class Figure:
    """What was measured, on how much; None where it couldn't be, for the reason in `note`."""

    value: float | None
    evidence: Evidence
    note: str | None = None


@dataclass(frozen=True)
class Demand:
    """One gate: the limit, and how many rows, positives and negatives there must be to judge by it."""

    name: str
    direction: Literal["at least", "at most"]
    limit: float
    rows: int = 0
    positives: int = 0
    negatives: int = 0

    def __str__(self) -> str:
        return f"{self.direction} {self.limit:g}"

    def judge(self, figure: Figure) -> Gate:
        """Passed or failed where there is enough to judge by; a failure for want of evidence is none either."""
        value = figure.value if figure.value is not None and math.isfinite(figure.value) else None
        why_not = figure.note or self._lacks(figure.evidence)
        if why_not is None and value is None:
            why_not = "it could not be measured on these rows"
        if why_not is not None or value is None:
            return Gate(
                name=self.name,
                measured=value,
                demanded=str(self),
                result="not_judged",
                evidence=figure.evidence,
                note=why_not,
            )
        missed_by = max(0.0, self.limit - value if self.direction == "at least" else value - self.limit)
        return Gate(
            name=self.name,
            measured=value,
            demanded=str(self),
            missed_by=missed_by,
            result="failed" if missed_by else "passed",
            evidence=figure.evidence,
        )

    def _lacks(self, evidence: Evidence) -> str | None:
        """What there is too little of; what isn't stated isn't there."""
        rows = evidence.rows or 0
        positives = evidence.positives or 0
        for what, found, needed in (
            ("rows", rows, self.rows),
            ("positive rows", positives, self.positives),
            ("negative rows", rows - positives, self.negatives),
        ):
            if found < needed:
                return f"{found:,} {what}; at least {needed:,} are needed"
        return None


def demands(problem: Problem) -> Iterator[Demand]:
    """Every gate of a definition; the last is asked of a challenger alone."""
    gates, quality = problem.gates, problem.gates.quality
    classes = {"positives": gates.evidence.minimum_positives, "negatives": gates.evidence.minimum_negatives}
    yield Demand("data_leakage", "at most", gates.data_leakage.maximum_single_feature_roc_auc, **classes)
    for name, demanded in (("roc_auc", quality.roc_auc), ("pr_auc", quality.pr_auc)):
        yield Demand(name, "at least", demanded.minimum, **classes)
        yield Demand(f"{name}_over_baseline", "at least", demanded.better_than_baseline_by, **classes)
    cost = quality.expected_cost
    yield Demand("expected_cost", "at most", cost.maximum, **classes)
    yield Demand("expected_cost_over_baseline", "at least", cost.better_than_baseline_by, **classes)
    yield Demand("calibration_error", "at most", quality.calibration_error.maximum, **classes)
    for attribute in problem.protected:
        for rate, limit in attribute.limits.items():
            yield Demand(f"fairness.{attribute.column}.{rate}", "at most", limit)
    yield Demand("latency_ms", "at most", gates.latency.maximum_ms, rows=latency_calls(gates.latency))
    retraining = problem.retraining
    yield Demand(
        CHAMPION, "at most", retraining.maximum_cost_increase, rows=retraining.minimum_comparison_rows, **classes
    )


def latency_calls(gate: LatencyGate) -> int:
    """How many calls a quantile takes: enough that some lie beyond it."""
    return max(FEWEST_CALLS, math.ceil(CALLS_BEYOND / (1 - gate.quantile) - 1e-9))


def fairness_figures(problem: Problem, groups: tuple[GroupRates, ...]) -> dict[str, Figure]:
    """The difference that each fairness gate judges, by the gate's name."""
    figures: dict[str, Figure] = {}
    for attribute in problem.protected:
        for rate in attribute.limits:
            found = group_difference(groups, attribute.column, rate, problem.gates.fairness)
            evidence = Evidence(groups=found.judged, groups_left_out=found.left_out)
            figures[f"fairness.{attribute.column}.{rate}"] = Figure(found.value, evidence, found.why_not)
    return figures


def judged(problem: Problem, figures: Mapping[str, Figure], today: date) -> tuple[Gate, ...]:
    """Every gate with its result on `today`; one without a figure is not judged.

    InputRefused for a waiver of a gate that doesn't exist.
    """
    asked = [demand for demand in demands(problem) if demand.name != CHAMPION or CHAMPION in figures]
    _require_waivers_of_gates(problem)
    missing = Figure(None, Evidence(), "it was never measured")
    return tuple(waived(demand.judge(figures.get(demand.name, missing)), problem.waivers, today) for demand in asked)


def _require_waivers_of_gates(problem: Problem) -> None:
    known = [*(demand.name for demand in demands(problem)), *PROMOTION_CHECKS]
    for waiver in problem.waivers:
        if waiver.gate not in known:
            raise InputRefused(
                f"The problem definition waives the gate {waiver.gate!r}, which does not exist. "
                f"Remove the waiver, or name one of: {', '.join(known)}."
            )


def waived(gate: Gate, waivers: Iterable[Waiver], today: date) -> Gate:
    """A gate that refuses with what its waivers make of it: an expired one is named and helps no more."""
    own = sorted((waiver for waiver in waivers if waiver.gate == gate.name), key=lambda waiver: waiver.expires)
    if gate.lets_pass or not own:
        return gate
    last = own[-1]
    if last.expires < today:
        return gate.model_copy(update={"demanded": f"{gate.demanded} (waiver expired {last.expires})"})
    expires = datetime.combine(last.expires, time.max, UTC)
    return gate.model_copy(update={"result": "waived", "waiver_expires": expires})
