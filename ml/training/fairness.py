"""Rates per group of each protected attribute, and the largest difference between two groups."""

from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, count, selection_rate
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, recall_score

from ml.problem import Categorical, Problem, Protected
from ml.release.manifest import GroupRates

__all__ = ["RATES", "group_labels", "group_rates", "largest_difference"]

RATES = ("true_positive_rate", "false_positive_rate", "selection_rate", "accuracy")
NO_GROUP = "none of the groups"


def group_labels(problem: Problem, attribute: Protected, frame: pd.DataFrame) -> pd.Series:
    """Which group of the attribute each row is in: the code's title, or the band as `first-last`."""
    column = frame[attribute.column]
    if attribute.bands:
        names = [f"{low}-{high - 1}" for low, high in zip(attribute.bands, attribute.bands[1:], strict=False)]
        labels = pd.cut(column, list(attribute.bands), right=False, labels=names).astype(object)
    else:
        feature = next(f for f in problem.features if f.name == attribute.column)
        titles = feature.codes if isinstance(feature, Categorical) else {v: str(v) for v in column.dropna().unique()}
        labels = column.map(titles).astype(object)
    return labels.where(labels.notna(), NO_GROUP)


def group_rates(
    problem: Problem, frame: pd.DataFrame, positive: NDArray[np.int8], held_positive: NDArray[np.bool_]
) -> tuple[GroupRates, ...]:
    """The rates of every group; a rate that a group has no rows for is left out."""
    minimum, results = problem.gates.fairness.minimum_group_rows, []
    for attribute in problem.protected:
        table = MetricFrame(
            metrics=_METRICS,
            y_true=positive,
            y_pred=held_positive.astype(np.int8),
            sensitive_features=group_labels(problem, attribute, frame),
        ).by_group
        for group, row in table.iterrows():
            rows = int(row["rows"])
            results.append(
                GroupRates(
                    attribute=attribute.column,
                    group=str(group),
                    rows=rows,
                    rates={rate: float(row[rate]) for rate in RATES if not np.isnan(row[rate])},
                    judged=rows >= minimum and group != NO_GROUP,
                )
            )
    return tuple(results)


def largest_difference(groups: tuple[GroupRates, ...], attribute: str, rate: str) -> float:
    """The largest difference of a rate between two judged groups; 0 where fewer than two can be compared."""
    values = [g.rates[rate] for g in groups if g.attribute == attribute and g.judged and rate in g.rates]
    return max(values) - min(values) if len(values) > 1 else 0.0


def _true_positive_rate(y_true: Any, y_pred: Any) -> float:
    return float(recall_score(y_true, y_pred, zero_division=np.nan))  # pyright: ignore[reportArgumentType]


def _false_positive_rate(y_true: Any, y_pred: Any) -> float:
    return float(recall_score(1 - y_true, y_pred, zero_division=np.nan))  # pyright: ignore[reportArgumentType]


# fairlearn's own two rates are 0 for a group without positives, where there is nothing to say.
_METRICS = {
    "rows": count,
    "true_positive_rate": _true_positive_rate,
    "false_positive_rate": _false_positive_rate,
    "selection_rate": selection_rate,
    "accuracy": accuracy_score,
}
