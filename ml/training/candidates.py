"""The candidates: a rule to beat, a linear model and gradient boosting, each with its best of a few configurations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import log_loss
from sklearn.model_selection import ParameterSampler
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from ml.data.clean import meets
from ml.problem import Baseline, Problem
from ml.training.features import FEATURES_STEP, MODEL_STEP, boosting_pipeline, inputs, linear_pipeline, positives
from ml.training.metrics import ScoredRows
from ml.training.threshold import Threshold, choose_threshold

__all__ = ["BASELINE", "Candidate", "RuleClassifier", "Trial", "best_learner", "fit_candidates", "scores_of"]

BASELINE = "baseline"
Parameters = Mapping[str, str | int | float | bool | None]

# Small on purpose: beyond these the validation loss moves in the fourth digit.
LINEAR_SPACE = {"C": [0.01, 0.1, 1.0, 10.0, 100.0]}
BOOSTING_SPACE = {
    "learning_rate": [0.1, 0.15, 0.2],
    "max_leaf_nodes": [15, 31],
    "min_samples_leaf": [20, 50, 100],
    "l2_regularization": [0.0, 1.0, 10.0],
}
TRIALS = 4


@dataclass(frozen=True)
class Trial:
    """One configuration of a learner and its log-loss on the validation split."""

    parameters: Parameters
    log_loss: float


@dataclass(frozen=True)
class Candidate:
    """A fitted candidate, its threshold, and its metrics on the validation split.

    `model.predict_proba` takes `features.inputs` and gives (rows, 2); `scores` are of the validation rows. `losses`
    holds the log-loss after each iteration, by split, where the learner is iterative.
    """

    name: str
    model: Any
    parameters: Parameters
    threshold: Threshold
    scores: NDArray[np.float64]
    validation: Mapping[str, float]
    trials: tuple[Trial, ...] = ()
    losses: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


class RuleClassifier(ClassifierMixin, BaseEstimator):
    """The problem's baseline rule as a scikit-learn classifier; fitting learns nothing."""

    def __init__(self, rule: Baseline) -> None:
        self.rule = rule

    def fit(self, X: pd.DataFrame, y: object = None) -> Self:  # noqa: N803 # scikit-learn's names
        """Learn nothing; the rule is given."""
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: pd.DataFrame) -> NDArray[np.float64]:  # noqa: N803
        """The rule's score of each row, as (rows, 2)."""
        score = np.where(meets(X, self.rule.when), self.rule.then, self.rule.otherwise)
        return np.column_stack([1 - score, score])

    def predict(self, X: pd.DataFrame) -> NDArray[np.int64]:  # noqa: N803
        """The likelier class of each row."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)


def scores_of(model: Any, features: pd.DataFrame) -> NDArray[np.float64]:
    """The score of the positive class, one per row."""
    return np.asarray(model.predict_proba(features)[:, 1], dtype=np.float64)


# One thread: two gain a quarter on an idle machine and lose a factor of five on a busy one, and a model records how
# many it was fitted with, so that its bytes would depend on the machine.
@threadpool_limits.wrap(limits=1)
def fit_candidates(
    problem: Problem, train: pd.DataFrame, validation: pd.DataFrame, progress: Callable[[str], None]
) -> tuple[Candidate, ...]:
    """Fit the baseline rule and both learners; the validation split chooses configuration and threshold.

    Nothing is fitted again on train and validation together: measured, it gains 0.0003 of ROC AUC, and the
    threshold and the calibration seen on the validation split would belong to another model than the released one.
    """
    data = _Data(
        inputs(problem, train), positives(problem, train), inputs(problem, validation), positives(problem, validation)
    )
    progress(f"Baseline rule: {problem.baseline.title}")
    rule = RuleClassifier(problem.baseline).fit(data.train, data.train_positive)
    candidates = [_candidate(problem, BASELINE, rule, {"rule": problem.baseline.title}, data)]
    seed = problem.split.seed
    for name, pipeline, space in (
        ("linear", linear_pipeline(problem, seed=seed), LINEAR_SPACE),
        ("boosting", boosting_pipeline(problem, seed=seed), BOOSTING_SPACE),
    ):
        candidates.append(_search(problem, name, pipeline, space, data, progress))
    return tuple(candidates)


def best_learner(candidates: tuple[Candidate, ...]) -> Candidate:
    """The learner with the lowest expected cost on the validation split; the rule is there to be beaten."""
    learners = [c for c in candidates if c.name != BASELINE]
    return min(learners, key=lambda c: c.validation["expected_cost"])


@dataclass(frozen=True)
class _Data:
    train: pd.DataFrame
    train_positive: NDArray[np.int8]
    validation: pd.DataFrame
    validation_positive: NDArray[np.int8]


def _search(
    problem: Problem,
    name: str,
    pipeline: Pipeline,
    space: Mapping[str, list[Any]],
    data: _Data,
    progress: Callable[[str], None],
) -> Candidate:
    """Try a seeded sample of the space; the lowest validation log-loss, a proper score, is kept."""
    features, learner = pipeline.named_steps[FEATURES_STEP], pipeline.named_steps[MODEL_STEP]
    train = features.fit_transform(data.train, data.train_positive)
    validation = features.transform(data.validation)
    is_iterative = hasattr(learner, "early_stopping")
    watched = {"X_val": validation, "y_val": data.validation_positive} if is_iterative else {}
    trials: list[tuple[Trial, Any]] = []
    for number, drawn in enumerate(ParameterSampler(space, TRIALS, random_state=problem.split.seed), start=1):
        model = type(learner)(**{**learner.get_params(), **drawn}).fit(train, data.train_positive, **watched)
        loss = float(log_loss(data.validation_positive, model.predict_proba(validation)[:, 1]))
        trials.append((Trial(dict(drawn), loss), model))
        shown = ", ".join(f"{key} {value:g}" for key, value in sorted(drawn.items()))
        progress(f"{name} {number}/{TRIALS}: {shown}: validation log-loss {loss:.4f}")
    best, model = min(trials, key=lambda trial: trial[0].log_loss)
    fitted = Pipeline([(FEATURES_STEP, features), (MODEL_STEP, model)])
    parameters = {**best.parameters, **({"max_iter": model.n_iter_} if is_iterative else {})}
    return _candidate(
        problem,
        name,
        fitted,
        parameters,
        data,
        trials=tuple(trial for trial, _ in trials),
        # scikit-learn keeps losses as scores, negated; the first is before any iteration.
        losses={"train": -model.train_score_, "validation": -model.validation_score_} if is_iterative else {},
    )


def _candidate(
    problem: Problem, name: str, model: Any, parameters: Parameters, data: _Data, **history: Any
) -> Candidate:
    scores = scores_of(model, data.validation)
    threshold = choose_threshold(problem, data.validation_positive, scores)
    rows = ScoredRows(data.validation_positive, scores, threshold.chosen, problem.costs)
    return Candidate(name, model, parameters, threshold, scores, rows.values(), **history)
