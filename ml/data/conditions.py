"""Which rows a condition of the problem definition holds for."""

import pandas as pd

from ml.problem import Condition

__all__ = ["meets"]


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
