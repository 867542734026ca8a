"""How much one column alone says of the target: near 1 it is the target in disguise."""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.problem import Problem

__all__ = ["roc_auc_of_unknown", "single_feature_roc_auc"]

# A rare code's target mean is little more than its own rows' labels: a column of unique values would "predict"
# everything. Codes with fewer rows than this count as one.
RARE_CODE_ROWS: Final = 30


def single_feature_roc_auc(problem: Problem, frame: pd.DataFrame) -> dict[str, float]:
    """The ROC AUC of each feature alone against the target, from 0.5 (nothing) to 1 (everything).

    A numeric feature orders the rows by its value, in the better direction; a categorical one by the share of
    positives among the rows of the same code.
    """
    positive = _positive(problem, frame)
    return {
        feature.name: (_by_value if feature.kind == "numeric" else _by_code)(frame[feature.name], positive)
        for feature in problem.features
        if feature.name in frame
    }


def roc_auc_of_unknown(problem: Problem, frame: pd.DataFrame, column: str) -> float:
    """The ROC AUC of a column that the problem doesn't define, read as a number or as a code, whichever says more.

    Nulls count as a value of their own: hours worked are null for people out of work.
    """
    values, positive = frame[column], _positive(problem, frame)
    if not (pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values)):
        return _by_code(values.astype(object).where(values.notna(), None).map(str), positive)
    return max(_by_value(values, positive), _by_code(values, positive))


def _positive(problem: Problem, frame: pd.DataFrame) -> NDArray[np.bool_]:
    return (frame[problem.target.column] == problem.target.positive).to_numpy(dtype=bool, na_value=False)


def _by_value(values: "pd.Series[Any]", positive: NDArray[np.bool_]) -> float:
    ranks, _ = pd.factorize(values, sort=True, use_na_sentinel=False)
    auc = _roc_auc(ranks, positive)
    return max(auc, 1 - auc)


def _by_code(values: "pd.Series[Any]", positive: NDArray[np.bool_]) -> float:
    codes, _ = pd.factorize(values, use_na_sentinel=False)
    codes = np.where(np.bincount(codes)[codes] < RARE_CODE_ROWS, 0, codes + 1)
    rows = np.bincount(codes)
    share = np.bincount(codes, weights=positive) / np.maximum(rows, 1)
    _, ranks = np.unique(share, return_inverse=True)
    return _roc_auc(ranks[codes], positive)


def _roc_auc(ranks: NDArray[np.intp], positive: NDArray[np.bool_]) -> float:
    """The share of pairs, one positive and one negative, that `ranks` puts in the right order; ties count half.

    Mann and Whitney's U over a count per rank: linear where scikit-learn's roc_auc_score sorts every row.
    0.5 where there is no such pair.
    """
    positives = np.bincount(ranks, weights=positive)
    negatives = np.bincount(ranks) - positives
    pairs = positives.sum() * negatives.sum()
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / pairs) if pairs else 0.5
