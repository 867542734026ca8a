"""Write the folder that a release is made of: the model, its evaluation and its reference data."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow import sklearn as mlflow_sklearn
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from ml.bundle.evaluation import EVALUATION_FILE, MODEL_FOLDER, REFERENCE_FILE, SCORE_COLUMN, TEST_FILE, Evaluation
from ml.problem import Numeric, Problem
from ml.training.candidates import Candidate, scores_of
from ml.training.features import inputs

__all__ = ["save_model", "write_candidate"]

REFERENCE_ROWS = 20_000
MODEL_REQUIREMENTS = ("cloudpickle", "numpy", "pandas", "scikit-learn", "scipy")


def write_candidate(
    folder: Path,
    problem: Problem,
    chosen: Candidate,
    evaluation: Evaluation,
    *,
    train: pd.DataFrame,
    test: pd.DataFrame,
) -> None:
    """Fill `folder` as `ml.bundle.evaluation` describes it; the reference is a seeded sample of `train`."""
    folder.mkdir(parents=True)
    save_model(problem, chosen.model, folder / MODEL_FOLDER)
    (folder / EVALUATION_FILE).write_text(evaluation.model_dump_json(indent=2) + "\n", encoding="utf-8")
    sample = train.sample(min(REFERENCE_ROWS, len(train)), random_state=problem.split.seed).sort_index()
    reference = sample[[*problem.feature_names, problem.target.column]].assign(
        **{SCORE_COLUMN: scores_of(chosen.model, inputs(problem, sample))}
    )
    reference.to_parquet(folder / REFERENCE_FILE, index=False, compression="zstd")
    inputs(problem, test).to_parquet(folder / TEST_FILE, index=False, compression="zstd")


def save_model(problem: Problem, model: Any, folder: Path) -> None:
    """An MLflow model whose predictions are the probabilities of both classes, (rows, 2).

    A pickle, because MLflow's safe format (skops) does not hold gradient boosting without trusting the very types
    it is there to check. Bundles are therefore signed, and verified before anything loads them.
    """
    signature = ModelSignature(
        inputs=Schema(
            [ColSpec(DataType.double if f.nullable else DataType.long, name=f.name) for f in problem.features]
        ),
        outputs=Schema([TensorSpec(np.dtype(np.float64), (-1, 2))]),
    )
    with _without_pickle_warning():
        mlflow_sklearn.save_model(
            model,
            str(folder),
            serialization_format="cloudpickle",
            signature=signature,
            input_example=inputs(problem, _example(problem)),
            pip_requirements=[f"{name}=={version(name)}" for name in MODEL_REQUIREMENTS],
            pyfunc_predict_fn="predict_proba",
        )


def _example(problem: Problem) -> pd.DataFrame:
    """One made-up row: a model must not carry a real person's record as its example."""
    return pd.DataFrame(
        [{f.name: (f.minimum + f.maximum) // 2 if isinstance(f, Numeric) else min(f.codes) for f in problem.features}]
    )


@contextmanager
def _without_pickle_warning() -> Generator[None]:
    logger = logging.getLogger("mlflow.sklearn")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
