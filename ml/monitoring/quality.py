"""Data quality of the live window: is what was logged whole, allowed and about as much as before?"""

from typing import NamedTuple

import numpy as np

from ml.monitoring.profile import CategoricalColumn, NumericColumn, Profile
from ml.monitoring.report import ColumnQuality, Quality, Volume
from ml.problem import Problem

__all__ = ["judge_quality", "judge_volume"]


def judge_volume(rows: int, rows_before: int, problem: Problem) -> Volume:
    """Whether so many predictions are gone that something upstream may be broken; few ones say nothing."""
    limit, enough = problem.monitoring.quality.maximum_volume_drop, problem.monitoring.drift.minimum_rows
    if rows_before < enough:
        reason = f"not judged: the window before had {rows_before:,} predictions, {enough:,} are needed"
        return Volume(rows, rows_before, False, reason, judged=False)
    change = rows / rows_before - 1
    alert = -change > limit
    verdict = "more than" if alert else "within"
    return Volume(rows, rows_before, alert, f"{change:+.0%} against the window before; a drop {verdict} {limit:.0%}")


def judge_quality(
    live: Profile, reference: Profile, problem: Problem, volume: Volume, not_logged: tuple[str, ...]
) -> Quality:
    """The shares of missing and invalid values of every feature that is logged, and the volume."""
    features = {feature.name: feature for feature in problem.features}
    columns: dict[str, ColumnQuality] = {}
    for name, feature in features.items():
        if name in live.columns:
            now, before = live.columns[name], reference.columns[name]
            bounds = (feature.minimum, feature.maximum) if feature.kind == "numeric" else None
            columns[name] = _judge(_counts(now, bounds), _counts(before, bounds), problem)
    wrong = [name for name, column in columns.items() if column.alert]
    needed = problem.monitoring.quality.minimum_rows
    is_enough = live.rows >= needed and bool(columns)
    summary = _summary(wrong, volume, len(columns))
    if not is_enough and not wrong and not volume.alert:
        summary = f"Too few predictions to say that nothing is wrong with them: {live.rows:,}, {needed:,} are needed."
    alert = bool(wrong) or volume.alert
    return Quality(alert, summary, volume, columns, not_logged, judged=alert or is_enough)


class _Counts(NamedTuple):
    rows: int
    missing: int
    invalid: int


def _counts(column: NumericColumn | CategoricalColumn, bounds: tuple[int, int] | None) -> _Counts:
    rows = int(column.frequencies.sum())
    if isinstance(column, CategoricalColumn):
        return _Counts(rows, column.missing, column.unknown)
    invalid = 0
    if bounds and column.values is not None:
        outside = (column.values.values < bounds[0]) | (column.values.values > bounds[1])
        invalid = int(np.sum(column.values.counts[outside]))
    return _Counts(rows, column.missing, invalid)


def _judge(now: _Counts, before: _Counts, problem: Problem) -> ColumnQuality:
    limits = problem.monitoring.quality
    missing, invalid = _share(now.missing, now.rows), _share(now.invalid, now.rows)
    usual = _share(before.missing, before.rows)
    faults: list[str] = []
    if missing - usual > limits.maximum_missing:
        faults.append(
            f"{missing:.2%} missing, {usual:.2%} in the reference: more than {limits.maximum_missing:.2%} more"
        )
    if invalid > limits.maximum_invalid:
        faults.append(f"{now.invalid:,} values ({invalid:.2%}) that the problem definition doesn't allow")
    return ColumnQuality(missing, usual, invalid, bool(faults), "; ".join(faults) or "as it should be")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _summary(wrong: list[str], volume: Volume, columns: int) -> str:
    faults = [f"{len(wrong)} of {columns} columns have missing or invalid values: {', '.join(wrong)}"] if wrong else []
    faults += [f"Traffic fell: {volume.rows:,} predictions, {volume.rows_before:,} in the window before"] * volume.alert
    return f"{'. '.join(faults)}." if faults else f"All {columns} logged columns are whole and within what is allowed."
