"""Rates per group of each protected attribute, with how many rows and positives stand behind them."""

from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from numpy.typing import NDArray

from ml.bundle.disparity import is_judged
from ml.bundle.manifest import NO_GROUP, GroupRates
from ml.problem import Categorical, Problem, Protected

__all__ = ["RATES", "group_labels", "group_names", "group_rates"]

RATES = ("true_positive_rate", "false_positive_rate", "selection_rate", "accuracy")


def group_names(problem: Problem, attribute: Protected) -> list[str]:
    """The groups that the definition gives an attribute; none for a number without bands."""
    if attribute.bands:
        return [f"{low}-{high - 1}" for low, high in zip(attribute.bands, attribute.bands[1:], strict=False)]
    feature = next(f for f in problem.features if f.name == attribute.column)
    return list(feature.codes.values()) if isinstance(feature, Categorical) else []


def group_labels(problem: Problem, attribute: Protected, frame: pd.DataFrame) -> pd.Series:
    """Which group of the attribute each row is in: the code's title, or the band as `first-last`."""
    column = frame[attribute.column]
    if attribute.bands:
        names = group_names(problem, attribute)
        labels = pd.cut(column, list(attribute.bands), right=False, labels=names).astype(object)
    else:
        feature = next(f for f in problem.features if f.name == attribute.column)
        titles = feature.codes if isinstance(feature, Categorical) else {v: str(v) for v in column.dropna().unique()}
        labels = column.map(titles).astype(object)
    return labels.where(labels.notna(), NO_GROUP)


def group_rates(
    problem: Problem, frame: pd.DataFrame, positive: NDArray[np.int8], held_positive: NDArray[np.bool_]
) -> tuple[GroupRates, ...]:
    """The rates of every group, also of those the definition names and no row is in; an undefined rate is left out."""
    results: list[GroupRates] = []
    for attribute in problem.protected:
        # Four cells a group, weighted by their rows: MetricFrame is slow on many rows, and the rates are the same.
        cells = (
            pd.DataFrame(
                {"group": group_labels(problem, attribute, frame), "positive": positive, "held": held_positive}
            )
            .value_counts()
            .reset_index(name="rows")
        )
        measured = _by_group(cells) if len(cells) else {}
        absent = dict.fromkeys(sorted(set(group_names(problem, attribute)) - measured.keys()), _Rates(0, 0, {}))
        for group, (rows, positives, rates) in {**measured, **absent}.items():
            found = GroupRates(
                attribute=attribute.column, group=group, rows=rows, positives=positives, rates=rates, judged=False
            )
            judged = any(is_judged(found, rate, problem.gates.fairness) for rate in rates)
            results.append(found.model_copy(update={"judged": judged}))
    return tuple(results)


class _Rates(NamedTuple):
    rows: int
    positives: int
    rates: dict[str, float]


def _by_group(cells: pd.DataFrame) -> dict[str, _Rates]:
    table = MetricFrame(
        metrics=_rates,
        y_true=cells["positive"],
        y_pred=cells["held"],
        sensitive_features=cells["group"],
        sample_params={"rows": cells["rows"]},
    ).by_group
    return {
        str(group): _Rates(int(rates.pop("rows")), int(rates.pop("positives")), rates)
        for group, rates in cast("dict[str, dict[str, float]]", table.to_dict()).items()
    }


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
    return {"rows": float(weights.sum()), "positives": float(weights[positive].sum()), **rates}
