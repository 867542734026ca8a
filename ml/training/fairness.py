"""Rates per group of each protected attribute, and the largest difference between two groups."""

from typing import Any, cast

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from numpy.typing import NDArray

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
        # Four cells a group, weighted by their rows: MetricFrame is slow on many rows, and the rates are the same.
        cells = (
            pd.DataFrame(
                {"group": group_labels(problem, attribute, frame), "positive": positive, "held": held_positive}
            )
            .value_counts()
            .reset_index(name="rows")
        )
        table = MetricFrame(
            metrics=_rates,
            y_true=cells["positive"],
            y_pred=cells["held"],
            sensitive_features=cells["group"],
            sample_params={"rows": cells["rows"]},
        ).by_group
        for group, rates in cast("dict[str, dict[str, float]]", table.to_dict()).items():
            rows = int(rates.pop("rows"))
            results.append(
                GroupRates(
                    attribute=attribute.column,
                    group=str(group),
                    rows=rows,
                    rates=rates,
                    judged=rows >= minimum and group != NO_GROUP,
                )
            )
    return tuple(results)


def largest_difference(groups: tuple[GroupRates, ...], attribute: str, rate: str) -> float:
    """The largest difference of a rate between two judged groups; 0 where fewer than two can be compared."""
    values = [g.rates[rate] for g in groups if g.attribute == attribute and g.judged and rate in g.rates]
    return max(values) - min(values) if len(values) > 1 else 0.0


def _rates(y_true: Any, y_pred: Any, rows: Any) -> dict[str, float]:
    """Every rate that is defined; fairlearn's own are 0 for a group without positives, where nothing can be said."""
    positive, held = np.asarray(y_true, dtype=bool), np.asarray(y_pred, dtype=bool)
    weights = np.asarray(rows, dtype=np.float64)
    shares = {
        "true_positive_rate": (held, positive),
        "false_positive_rate": (held, ~positive),
        "selection_rate": (held, np.ones_like(held)),
        "accuracy": (held == positive, np.ones_like(held)),
    }
    rates = {rate: float(weights[hit & of].sum() / weights[of].sum()) for rate, (hit, of) in shares.items() if of.any()}
    return {"rows": float(weights.sum()), **rates}
