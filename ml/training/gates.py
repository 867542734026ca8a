"""The gates: judge an evaluation by the problem's thresholds."""

import math
from datetime import date

from ml.bundle.evaluation import Evaluation, MetricsOfRows
from ml.bundle.judgement import CHAMPION, Figure, fairness_figures, judged
from ml.bundle.manifest import Evidence, Gate
from ml.problem import Problem
from ml.training.latency import Latency

__all__ = ["judge"]


def judge(problem: Problem, evaluation: Evaluation, latency: Latency, today: date) -> tuple[Gate, ...]:
    """Every gate with its result on `today`; InputRefused for a waiver of a gate that doesn't exist.

    Better than the baseline means the bound of the bootstrap interval that is nearer to the baseline.
    """
    return judged(problem, _figures(problem, evaluation, latency), today)


def _figures(problem: Problem, evaluation: Evaluation, latency: Latency) -> dict[str, Figure]:
    trained = Evidence(rows=evaluation.train_rows, positives=evaluation.train_positives)
    tested = Evidence(rows=evaluation.test_rows, positives=evaluation.test_positives)
    figures = {"data_leakage": Figure(_strongest(problem, evaluation), trained)}
    for name in ("roc_auc", "pr_auc"):
        figures |= _beside_the_baseline(evaluation, name, tested)
    saving = _negative(_bound(evaluation, "expected_cost", "difference_high"))
    figures["expected_cost"] = Figure(_value(evaluation, "expected_cost"), tested)
    figures["expected_cost_over_baseline"] = Figure(saving, tested)
    figures["calibration_error"] = Figure(_value(evaluation, "calibration_error"), tested)
    figures |= fairness_figures(problem, evaluation.fairness)
    if (compared := evaluation.champion) is not None:
        # The bound farther from the champion: "not worse" must be shown, not just not refuted (non-inferiority).
        increase = _bound(compared, "expected_cost", "difference_high")
        figures[CHAMPION] = Figure(increase, Evidence(rows=compared.rows, positives=compared.positives))
    calls = Evidence(rows=latency.calls)
    figures["latency_ms"] = Figure(latency.ms, calls, latency.why_not)
    return figures


def _strongest(problem: Problem, evaluation: Evaluation) -> float:
    """How well the feature that tells most of the target does; NaN unless every feature was measured."""
    alone = [evaluation.single_feature_roc_auc.get(name, math.nan) for name in problem.feature_names]
    return max(alone) if all(map(math.isfinite, alone)) else math.nan


def _beside_the_baseline(evaluation: Evaluation, name: str, tested: Evidence) -> dict[str, Figure]:
    return {
        name: Figure(_value(evaluation, name), tested),
        f"{name}_over_baseline": Figure(_bound(evaluation, name, "difference_low"), tested),
    }


def _value(found: MetricsOfRows, name: str) -> float | None:
    return metric.value if (metric := found.metric(name)) else None


def _bound(found: MetricsOfRows, name: str, which: str) -> float | None:
    return getattr(metric, which) if (metric := found.metric(name)) else None


def _negative(value: float | None) -> float | None:
    return None if value is None else -value
