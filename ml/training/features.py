"""From a problem's columns to a model's input: one scikit-learn Pipeline per kind of learner."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler

from ml.problem import Categorical, Numeric, Problem

__all__ = ["FEATURES_STEP", "MODEL_STEP", "boosting_pipeline", "inputs", "linear_pipeline", "positives"]

FEATURES_STEP = "features"
MODEL_STEP = "model"


def inputs(problem: Problem, frame: pd.DataFrame) -> pd.DataFrame:
    """The model's input columns in the problem's order: int64, or float64 where a feature may be null."""
    types = {f.name: "float64" if f.nullable else "int64" for f in problem.features}
    return frame[problem.feature_names].astype(types)


def positives(problem: Problem, frame: pd.DataFrame) -> np.ndarray:
    """The labels as 0 and 1, one per row."""
    return (frame[problem.target.column] == problem.target.positive).to_numpy(dtype=np.int8)


def boosting_pipeline(problem: Problem, *, seed: int) -> Pipeline:
    """Gradient boosting that splits on sets of codes; a code that is not in the training rows is treated as missing."""
    # The learner encodes the codes itself; encoding them here as well would double the time of a single prediction.
    features = ColumnTransformer([("columns", "passthrough", problem.feature_names)])
    # Any: scikit-learn has no types, and pyright takes a parameter's default, here a string, for its only type.
    is_categorical: Any = [isinstance(f, Categorical) for f in problem.features]
    early_stopping: Any = True
    model = HistGradientBoostingClassifier(
        categorical_features=is_categorical, max_iter=150, early_stopping=early_stopping, random_state=seed
    )
    return Pipeline([(FEATURES_STEP, features), (MODEL_STEP, model)])


def linear_pipeline(problem: Problem, *, seed: int) -> Pipeline:
    """Logistic regression on one column per code and a cubic spline per number; an undeclared code counts as none.

    The splines let a number act in both directions: the chance of work rises with age and then falls.
    """
    categorical = [f for f in problem.features if isinstance(f, Categorical)]
    numeric = [f.name for f in problem.features if isinstance(f, Numeric)]
    codes: Any = [sorted(f.codes) for f in categorical]
    numbers = make_pipeline(
        SimpleImputer(strategy="median"), SplineTransformer(n_knots=6, extrapolation="linear"), StandardScaler()
    )
    features = ColumnTransformer(
        [
            (
                "codes",
                OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False),
                [f.name for f in categorical],
            ),
            ("numbers", numbers, numeric),
        ],
    )
    # Far more rows than columns: Newton's method is four times faster here than the default.
    model = LogisticRegression(solver="newton-cholesky", max_iter=200, random_state=seed)
    return Pipeline([(FEATURES_STEP, features), (MODEL_STEP, model)])
