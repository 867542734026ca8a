"""From a checked raw file to the population that the problem is about."""

import pandas as pd

from ml.data.quality import check, require
from ml.problem import Condition, Problem

__all__ = ["clean", "meets"]


def meets(frame: pd.DataFrame, conditions: tuple[Condition, ...]) -> "pd.Series[bool]":
    """For each row whether it meets every condition; a null meets none."""
    met = pd.Series(True, index=frame.index)
    for condition in conditions:
        column = frame[condition.column]
        if condition.at_least is not None:
            met &= column >= condition.at_least
        if condition.at_most is not None:
            met &= column <= condition.at_most
        if condition.is_in is not None:
            met &= column.isin(condition.is_in)
    return met


def clean(problem: Problem, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the population, ordered by identifier, index from 0; dtypes stay. DataRefused where none is left."""
    cleaned = frame[meets(frame, problem.population)].sort_values(problem.identifier, ignore_index=True)
    require(check(problem, cleaned, "cleaned", "the cleaned data"))
    return cleaned
