"""From a checked raw file to the population that the problem is about."""

import pandas as pd

from ml.data.conditions import meets
from ml.data.quality import check, require
from ml.problem import Problem

__all__ = ["clean", "meets"]


def clean(problem: Problem, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the population, ordered by identifier, index from 0; dtypes stay. DataRefused where none is left."""
    cleaned = frame[meets(frame, problem.population)].sort_values(problem.identifier, ignore_index=True)
    require(check(problem, cleaned, "cleaned", "the cleaned data", labelled=problem.target.column in frame))
    return cleaned
