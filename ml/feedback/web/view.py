"""A case as a person reads it: titles and meanings instead of columns and codes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ml.feedback.queue import Case
from ml.feedback.selection import WHY
from ml.problem import Categorical, Feature, Problem

__all__ = ["CaseView", "Fact", "case_view"]


@dataclass(frozen=True)
class Fact:
    """One feature: its title, what its value means, and the code where that is another thing.

    `contribution` is what it did to the score, None where the log doesn't say; `share` is its size beside the largest
    one of the case, from 0 to 1.
    """

    column: str
    title: str
    meaning: str
    code: str
    is_outside: bool
    contribution: float | None = None
    share: float = 0.0


@dataclass(frozen=True)
class CaseView:
    """Everything that the page and the command line show of a case; what did most to the score comes first."""

    case: Case
    why: list[str]
    decided: str
    other: str
    facts: list[Fact]
    has_reasons: bool


def case_view(problem: Problem, case: Case, row: Mapping[str, Any]) -> CaseView:
    """The view of a case and of the row that the log has of it."""
    outcomes = problem.target.codes
    reasons = _reasons(row.get("reasons"))
    largest = max((abs(contribution) for contribution in reasons.values()), default=0.0) or 1.0
    facts = [_fact(feature, case, row.get(feature.name), reasons, largest) for feature in problem.features]
    return CaseView(
        case=case,
        why=[WHY[why] for why in case.why],
        decided=outcomes.get(case.decision, str(case.decision)),
        other=" or ".join(meaning for code, meaning in outcomes.items() if code != case.decision),
        facts=sorted(facts, key=lambda fact: -fact.share),
        has_reasons=bool(reasons),
    )


def _reasons(text: str | None) -> dict[str, float]:
    """Contribution by feature; empty where no explanation was asked for, or where it can't be read."""
    try:
        logged = cast(list[dict[str, Any]], json.loads(text or "[]"))
        return {str(entry["feature"]): float(entry["contribution"]) for entry in logged}
    except (ValueError, TypeError, KeyError):
        return {}


def _fact(feature: Feature, case: Case, value: int | None, reasons: Mapping[str, float], largest: float) -> Fact:
    if value is None:
        meaning, code = "not kept in the log", ""
    elif isinstance(feature, Categorical):
        meaning, code = feature.codes.get(value, "an undeclared code"), str(value)
    else:
        meaning, code = str(value), ""
    contribution = reasons.get(feature.name)
    return Fact(
        column=feature.name,
        title=feature.title,
        meaning=meaning,
        code=code,
        is_outside=feature.name in case.outside,
        contribution=contribution,
        share=abs(contribution or 0.0) / largest,
    )
