"""Evaluate the chosen candidate on the test set, once, beside the baseline rule."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.bundle.definition import measured_under
from ml.bundle.evaluation import Evaluation
from ml.bundle.manifest import MetricResult
from ml.data.leakage import single_feature_roc_auc
from ml.problem import Problem
from ml.training.candidates import Candidate
from ml.training.fairness import group_rates
from ml.training.features import positives
from ml.training.metrics import METRICS, ScoredRows, difference_intervals
from ml.training.provenance import code_state, environment, problem_digest

__all__ = ["compared", "evaluate"]


def evaluate(
    problem: Problem,
    chosen: Candidate,
    baseline: Candidate,
    *,
    scores: Mapping[str, NDArray[np.float64]],
    train: pd.DataFrame,
    test: pd.DataFrame,
    data: dict[str, str],
    root: Path,
) -> Evaluation:
    """Measure everything that the gates judge; `scores` are of the test rows, `data` the digests by dataset."""
    positive = positives(problem, test)
    held_positive = scores[chosen.name] >= chosen.threshold.chosen
    ours = ScoredRows(positive, scores[chosen.name], chosen.threshold.chosen, problem.costs)
    theirs = ScoredRows(positive, scores[baseline.name], baseline.threshold.chosen, problem.costs)
    commit, modified = code_state(root)
    return Evaluation(
        candidate=chosen.name,
        parameters=dict(chosen.parameters),
        decision_threshold=chosen.threshold.chosen,
        train_rows=len(train),
        train_positives=int(positives(problem, train).sum()),
        test_rows=len(test),
        test_positives=int(positive.sum()),
        metrics=compared(problem, ours, theirs),
        fairness=group_rates(problem, test, positive, held_positive),
        single_feature_roc_auc=single_feature_roc_auc(problem, train),
        data=data,
        code_commit=commit,
        code_modified=modified,
        problem_digest=problem_digest(problem),
        measured_under=measured_under(problem),
        environment=environment(),
    )


def compared(problem: Problem, ours: ScoredRows, theirs: ScoredRows) -> tuple[MetricResult, ...]:
    """Every metric of two scores of the same rows, with the interval of their difference."""
    quality = problem.gates.quality
    intervals = difference_intervals(
        ours, theirs, samples=quality.bootstrap_samples, confidence=quality.confidence, seed=problem.split.seed
    )
    values, baseline = ours.values(), theirs.values()
    return tuple(
        MetricResult(
            name=name,
            value=_defined(values[name]),
            baseline=_defined(baseline[name]),
            difference_low=_defined(intervals[name][0]),
            difference_high=_defined(intervals[name][1]),
        )
        for name in METRICS
    )


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None
