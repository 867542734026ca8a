"""The explanation data of a bundle: a background to explain against, checked to add up, and what matters overall."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from ml.bundle.evaluation import REFERENCE_FILE
from ml.bundle.schema import BundleSchema
from ml.errors import ReleaseRefused
from ml.model.explain import EXPLANATION_FILE, Explainer, Explanation, Importance
from ml.model.scorer import Scorer, load_scorer
from ml.problem import Problem

__all__ = ["write_explanation"]

BACKGROUND_ROWS: Final = 50
# Against 100 orders, with gradient boosting on the project's data, contributions are off by 0.003 (root mean square).
PERMUTATIONS: Final = 3
EXPLAINED_ROWS: Final = 64
LARGEST_ERROR: Final = 1e-6
DIGITS: Final = 9  # what a processor rounds otherwise must not change a bundle's bytes


def write_explanation(folder: Path, problem: Problem) -> None:
    """Add explanation.json to the bundle in `folder`; ReleaseRefused when contributions don't add up to scores."""
    names = problem.feature_names
    rows = pd.read_parquet(folder / REFERENCE_FILE, columns=names)
    sample = rows.sample(min(len(rows), BACKGROUND_ROWS + EXPLAINED_ROWS), random_state=problem.split.seed)
    # int64 where nothing is null: what the server reads a request into.
    matrix = sample.to_numpy(np.float64 if any(f.nullable for f in problem.features) else np.int64)
    scorer = load_scorer(folder, BundleSchema.of(problem))
    explanation = _explanation(problem, scorer, matrix[:BACKGROUND_ROWS], matrix[-EXPLAINED_ROWS:])
    (folder / EXPLANATION_FILE).write_bytes(explanation.dump())


def _explanation(problem: Problem, scorer: Scorer, background: np.ndarray, rows: np.ndarray) -> Explanation:
    seed = problem.split.seed
    # One order a row: what it gets wrong averages out over the rows, and a release takes a third of the time.
    base, contributions = Explainer(scorer, background, 1, seed).contributions(rows)
    error = float(np.max(np.abs(base + contributions.sum(axis=1) - scorer.score(rows))))
    if not error <= LARGEST_ERROR:
        raise ReleaseRefused(
            f"The contributions of the features don't add up to the score: they are off by {error:g}, at most "
            f"{LARGEST_ERROR:g} is let pass. The model must give the same score for the same row every time."
        )
    means = np.abs(contributions).mean(axis=0).round(DIGITS).tolist()
    importance = [
        Importance(feature=name, mean_absolute_contribution=mean)
        for name, mean in zip(problem.feature_names, means, strict=True)
    ]
    return Explanation(
        permutations=PERMUTATIONS,
        seed=seed,
        background=tuple(tuple(None if np.isnan(value) else int(value) for value in row) for row in background),
        base_score=round(base, DIGITS),
        importance=tuple(sorted(importance, key=lambda i: -i.mean_absolute_contribution)),
        rows=len(rows),
        largest_error=round(error, DIGITS),
    )
