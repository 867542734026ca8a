"""The decision that a score helps with: whose, about whom, by which rule so far, at which cost of an error."""

from typing import Literal

from pydantic import Field

from ml.problem.data import Condition
from ml.problem.frozen import Frozen

__all__ = ["Baseline", "Costs", "Decision", "Protected"]


class Decision(Frozen):
    """Who decides what about whom with the help of the score, and what it must not be used for."""

    what: str
    made_by: str
    about: str
    why_a_model: str
    not_for: str


class Baseline(Frozen):
    """A rule without machine learning: rows that meet every condition score `then`, the others `otherwise`."""

    title: str
    when: tuple[Condition, ...]
    then: float = Field(ge=0, le=1)
    otherwise: float = Field(ge=0, le=1)


class ErrorCost(Frozen):
    """What one error of a kind costs, in `Costs.unit`, and who bears it."""

    cost: float = Field(gt=0)
    meaning: str
    borne_by: str


class Costs(Frozen):
    """The cost table that the decision threshold is chosen for."""

    unit: str
    false_positive: ErrorCost
    false_negative: ErrorCost


class Protected(Frozen):
    """A protected attribute; `limits` bounds the largest difference of a rate between two of its groups."""

    column: str
    bands: tuple[int, ...] | None = None
    limits: dict[Literal["true_positive_rate", "false_positive_rate", "selection_rate", "accuracy"], float]
    why: str
