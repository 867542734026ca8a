"""The largest difference of a rate between two groups of a protected attribute, where there is enough to compare."""

import math
from dataclasses import dataclass
from typing import Final

from ml.bundle.manifest import NO_GROUP, GroupRates
from ml.problem import FairnessGate

__all__ = ["GroupDifference", "cases", "group_difference", "is_judged"]

CASES: Final = {
    "true_positive_rate": "positives",
    "false_positive_rate": "negatives",
    "selection_rate": "rows",
    "accuracy": "rows",
}


@dataclass(frozen=True)
class GroupDifference:
    """The groups with their rows; `value` is None where no two are judged, and `why_not` says why none counts."""

    value: float | None
    judged: dict[str, int]
    left_out: dict[str, int]
    why_not: str | None = None
    highest: str | None = None
    lowest: str | None = None


def cases(group: GroupRates, rate: str) -> int | None:
    """How many rows of a group its rate is a share of; None where the manifest doesn't say."""
    if CASES.get(rate) not in ("positives", "negatives"):
        return group.rows
    if group.positives is None:
        return None
    return group.positives if CASES[rate] == "positives" else group.rows - group.positives


def is_judged(group: GroupRates, rate: str, gate: FairnessGate) -> bool:
    """Whether a group has enough rows, and enough of those that the rate is a share of."""
    return (
        group.group != NO_GROUP
        and group.rows >= gate.minimum_group_rows
        and (cases(group, rate) or 0) >= gate.minimum_group_cases
        and math.isfinite(group.rates.get(rate, math.nan))
    )


def group_difference(groups: tuple[GroupRates, ...], attribute: str, rate: str, gate: FairnessGate) -> GroupDifference:
    """Compare the groups of an attribute that are judged; too few of them, or too small a share, is no result."""
    own = [group for group in groups if group.attribute == attribute]
    judged = [group for group in own if is_judged(group, rate, gate)]
    counts = {group.group: group.rows for group in judged}
    left_out = {group.group: group.rows for group in own if group not in judged}
    what = CASES.get(rate, "rows")
    if len(judged) < 2:
        small = ", ".join(f"{name} ({rows:,})" for name, rows in left_out.items()) or "no group"
        why_not = (
            f"fewer than two groups have {gate.minimum_group_rows:,} rows and {gate.minimum_group_cases:,} {what}: "
            f"{small}"
        )
        return GroupDifference(None, counts, left_out, why_not)
    low, high = (pick(judged, key=lambda group: group.rates[rate]) for pick in (min, max))
    value = high.rates[rate] - low.rates[rate]
    share = sum(cases(group, rate) or 0 for group in judged) / sum(cases(group, rate) or 0 for group in own)
    why_not = None
    if share < gate.minimum_judged_share:
        why_not = (
            f"the groups that are large enough hold {share:.1%} of the {what}; at least "
            f"{gate.minimum_judged_share:.0%} are needed"
        )
    return GroupDifference(value, counts, left_out, why_not, high.group, low.group)
