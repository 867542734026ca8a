"""What holds once a release serves: its log, its challenger, expert review and retraining."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ml.problem.frozen import Frozen

__all__ = ["Canary", "PredictionLogRules", "Retraining", "Review"]


class SensitiveField(Frozen):
    """What the prediction log keeps of a sensitive feature: its value, the lower bound of its band, or nothing."""

    logged: Literal["exact", "banded", "omitted"]
    why: str = Field(min_length=10)


class PredictionLogRules(Frozen):
    """How far the prediction log minimises: a rule for each sensitive feature."""

    sensitive: dict[str, SensitiveField]

    @property
    def coarse(self) -> list[str]:
        """The features that a logged row doesn't hold as they were: with one of them it can't be scored again."""
        return sorted(name for name, rule in self.sensitive.items() if rule.logged != "exact")


class CanaryLatency(Frozen):
    """A challenger is too slow past both: milliseconds, and times the champion's, at the same quantile."""

    quantile: float = Field(gt=0, lt=1)
    maximum_ms: float = Field(gt=0)
    maximum_ratio: float = Field(ge=1)


class Canary(Frozen):
    """What takes a challenger out of use, judged on the newest `window` answered requests and scores of each release.

    Nothing but errors is judged before `minimum` of each; so many errors as `maximum_error_rate` lets pass in
    `minimum` are enough at any time. `maximum_score_psi` bounds the population stability index of the scores.
    """

    minimum: int = Field(ge=20)
    window: int = Field(ge=100)
    maximum_error_rate: float = Field(gt=0, lt=1)
    latency: CanaryLatency
    maximum_score_psi: float = Field(gt=0)

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if self.minimum > self.window:
            raise ValueError(
                f"minimum, {self.minimum:,}, is above window, {self.window:,}: so many answers are never kept, and a "
                "challenger would never be judged"
            )
        return self


class Review(Frozen):
    """Which predictions an expert looks at: scores within `margin` of the threshold, rows outside the training range,
    and `sample_fraction` of all, from the last `window_days`; at most `maximum_queue` wait at a time.

    `reviewers` names who may decide; None is everybody with an account.
    """

    margin: float = Field(gt=0, lt=0.5)
    sample_fraction: float = Field(ge=0, le=1)
    maximum_queue: int = Field(ge=1)
    window_days: int = Field(ge=1)
    reviewers: tuple[str, ...] | None = None


class Retraining(Frozen):
    """When a challenger is trained, and what it must not be worse at than the champion.

    The newest `comparison_fraction` of the labelled live rows is held out to compare the two; without
    `minimum_comparison_rows` in it nothing is trained. `maximum_cost_increase` is per row, in `Costs.unit`.
    """

    maximum_age_days: int = Field(ge=1)
    minimum_new_labels: int = Field(ge=1)
    cooldown_days: float = Field(ge=0)
    comparison_fraction: float = Field(gt=0, lt=1)
    minimum_comparison_rows: int = Field(ge=1)
    maximum_cost_increase: float = Field(ge=0)
