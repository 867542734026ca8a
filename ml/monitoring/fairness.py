"""Fairness in production: the rates of each protected group, and the largest difference between two of them."""

import math
from typing import Any, Final, NamedTuple

import polars as pl
from scipy import stats

from ml.bundle.manifest import NO_GROUP, Manifest
from ml.monitoring.report import Difference, Fairness, Group
from ml.problem import Categorical, Problem, Protected

__all__ = ["judge_fairness"]

NAMED: Final = 2  # of the differences that alert, in a sentence


class _Rate(NamedTuple):
    """A share and of how many rows."""

    value: float
    rows: int


class _Counted(NamedTuple):
    group: str
    rows: int
    labelled: int
    rates: dict[str, _Rate]


def judge_fairness(rows: pl.DataFrame, labelled: pl.DataFrame, problem: Problem, manifest: Manifest) -> Fairness:
    """Selection rates of all answered `rows`, the other rates of the `labelled` ones; both have the decision.

    An alert takes a difference beyond the problem's limit whose interval lies beyond it too.
    """
    groups: list[Group] = []
    differences: list[Difference] = []
    at_release = {(g.attribute, g.group): g.rates for g in manifest.fairness}
    for attribute in problem.protected:
        column = attribute.column
        counted = (
            []
            if _is_empty(rows, column) and _is_empty(labelled, column)
            else _count(rows, labelled, problem, attribute)
        )
        groups += [
            Group(
                column,
                one.group,
                one.rows,
                one.labelled,
                {name: rate.value for name, rate in one.rates.items()},
                at_release.get((column, one.group), {}),
            )
            for one in counted
        ]
        differences += [_difference(column, rate, limit, counted, problem) for rate, limit in attribute.limits.items()]
    unfair = [difference for difference in differences if difference.alert]
    judged = any(difference.value is not None for difference in differences)
    return Fairness(bool(unfair), _summary(unfair, differences, problem), tuple(groups), tuple(differences), judged)


def _count(rows: pl.DataFrame, labelled: pl.DataFrame, problem: Problem, attribute: Protected) -> list[_Counted]:
    group = _group(problem, attribute).alias("group")
    held = pl.col("decision") == problem.target.positive
    answered = rows.group_by(group).agg(pl.len().alias("rows"), held.sum().alias("selected"))
    if labelled.height:
        positive = pl.col("label") == problem.target.positive
        known = labelled.group_by(group).agg(
            pl.len().alias("labelled"),
            positive.sum().alias("positive"),
            (held & positive).sum().alias("true_positive"),
            (held & ~positive).sum().alias("false_positive"),
        )
        answered = answered.join(known, on="group", how="full", coalesce=True)
    return [_rates(row) for row in answered.fill_null(0).sort("group").iter_rows(named=True)]


def _rates(row: dict[str, Any]) -> _Counted:
    labelled, positive = row.get("labelled", 0), row.get("positive", 0)
    hit, wrong = row.get("true_positive", 0), row.get("false_positive", 0)
    negative = labelled - positive
    parts = {
        "selection_rate": (row["selected"], row["rows"]),
        "true_positive_rate": (hit, positive),
        "false_positive_rate": (wrong, negative),
        "accuracy": (hit + negative - wrong, labelled),
    }
    rates = {name: _Rate(part / whole, whole) for name, (part, whole) in parts.items() if whole}
    return _Counted(str(row["group"]), row["rows"], labelled, rates)


def _difference(attribute: str, rate: str, limit: float, groups: list[_Counted], problem: Problem) -> Difference:
    limits = problem.monitoring.fairness
    judged = [
        (one.rates[rate], one.group)
        for one in groups
        if rate in one.rates
        and one.group != NO_GROUP
        and (one.rows if rate == "selection_rate" else one.labelled) >= limits.minimum_group_rows
        and one.rates[rate].rows >= limits.minimum_group_cases
    ]
    if len(judged) < 2:
        what = "answered" if rate == "selection_rate" else "labelled"
        reason = (
            f"not judged: fewer than two groups have {limits.minimum_group_rows} {what} rows, "
            f"{limits.minimum_group_cases} of them such as the rate is a share of"
        )
        return Difference(attribute, rate, None, None, None, None, None, limit, False, reason)
    (low, lowest), (high, highest) = min(judged), max(judged)
    value = high.value - low.value
    error = math.sqrt(sum(r.value * (1 - r.value) / r.rows for r in (low, high)))
    margin = float(stats.norm.ppf((1 + problem.monitoring.confidence) / 2)) * error
    alert = value - margin > limit
    everybody = sum(one.rates[rate].rows for one in groups if rate in one.rates)
    share = sum(one.rows for one, _ in judged) / everybody
    if share < limits.minimum_judged_share and not alert:
        reason = (
            f"not judged: the groups that are large enough hold {share:.1%} of the rows that the rate is a share of; "
            f"at least {limits.minimum_judged_share:.0%} are needed"
        )
        return Difference(attribute, rate, None, None, None, None, None, limit, False, reason)
    verdict = (
        f"beyond {limit:g}"
        if alert
        else f"within {limit:g}"
        if value <= limit
        else f"beyond {limit:g}, perhaps by chance"
    )
    return Difference(
        attribute, rate, value, value - margin, value + margin, highest, lowest, limit, alert,
        f"{value:.3f} ± {margin:.3f} between {highest} and {lowest}: {verdict}",
    )  # fmt: skip


def _group(problem: Problem, attribute: Protected) -> pl.Expr:
    """Which group a row is in, named as in the manifest: the code's title, or the band as `first-last`."""
    column = pl.col(attribute.column)
    if attribute.bands:
        bands = zip(attribute.bands, attribute.bands[1:], strict=False)
        named = [pl.when(column.is_between(a, b, closed="left")).then(pl.lit(f"{a}-{b - 1}")) for a, b in bands]
        return pl.coalesce([*named, pl.lit(NO_GROUP)])
    feature = next(f for f in problem.features if f.name == attribute.column)
    if isinstance(feature, Categorical):
        return column.replace_strict(feature.codes, default=NO_GROUP, return_dtype=pl.String)
    return column.cast(pl.String).fill_null(NO_GROUP)


def _is_empty(frame: pl.DataFrame, column: str) -> bool:
    return frame[column].null_count() == frame.height


def _summary(unfair: list[Difference], differences: list[Difference], problem: Problem) -> str:
    judged = sum(d.value is not None for d in differences)
    if not judged:
        return "Too few labelled predictions to compare groups."
    if not unfair:
        return f"Groups differ no more than the problem allows ({judged} of {len(differences)} differences judged)."
    titles = {feature.name: feature.title for feature in problem.features}
    named = [
        f"{titles[d.attribute]}: {d.rate.replace('_', ' ')} {d.value:.2f} higher for {d.highest} than for {d.lowest}, "
        f"{d.limit:g} is allowed"
        for d in unfair
    ]
    more = f"; and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return f"{len(unfair)} of {judged} differences between groups are too large. {'; '.join(named[:NAMED])}{more}."
