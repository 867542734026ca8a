"""How much one feature alone says of the target: near 1 it is the target in disguise."""

import pandas as pd

from ml.problem import Problem

__all__ = ["single_feature_roc_auc"]


def single_feature_roc_auc(problem: Problem, frame: pd.DataFrame) -> dict[str, float]:
    """The ROC AUC of each feature alone against the target, from 0.5 (nothing) to 1 (everything)."""
    raise NotImplementedError
