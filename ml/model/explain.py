"""Why a score is what it is: how much each feature moved it away from the mean score of the background rows.

The contributions are Shapley values of the score itself, estimated over random orders of the features, each order
taken forwards and backwards (Castro et al., 2009). They are those of `shap.PermutationExplainer`, whose import alone
takes seconds and 100 MB. For any model they add up exactly: base score + sum of contributions = score. How it is done
for a release stands in its bundle, with the background.
"""

from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml.errors import ReleaseRefused
from ml.model.scorer import Scorer
from ml.problem import Categorical, Feature

__all__ = ["EXPLANATION_FILE", "Explained", "Explainer", "Explanation", "Importance", "Reason"]

EXPLANATION_FILE: Final = "explanation.json"


class Importance(BaseModel):
    """How far a feature moves the score of a row on average, in either direction."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    feature: str
    mean_absolute_contribution: float


class Explanation(BaseModel):
    """A bundle's explanation.json: what explains its scores, checked and summed up at release.

    `background` is (rows, features), a sample of the training rows. `largest_error` is the largest difference between
    a score and the base score with all contributions, over `rows` explained rows; `importance` is of the same rows,
    the most important feature first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    schema_version: Literal[1] = 1
    method: Literal["permutation-shap"] = "permutation-shap"
    explains: Literal["score"] = "score"
    permutations: int = Field(ge=1)
    seed: int
    background: tuple[tuple[int | None, ...], ...] = Field(min_length=1)
    base_score: float
    importance: tuple[Importance, ...]
    rows: int
    largest_error: float

    @classmethod
    def parse(cls, data: bytes) -> "Explanation":
        """Read a bundle's explanation.json; ReleaseRefused when this version can't."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise ReleaseRefused(
                f"The bundle's {EXPLANATION_FILE} is not one that this version reads: {error.errors()[0]['msg']}. "
                "Release the model again with this version."
            ) from error

    def dump(self) -> bytes:
        """The bytes of explanation.json."""
        return self.model_dump_json(indent=2).encode() + b"\n"


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one feature of a row contributed to its score; `meaning` is what a code stands for."""

    feature: str
    title: str
    value: int | None
    contribution: float
    meaning: str | None = None


class Explained(NamedTuple):
    """The score of the background, and for each row its reasons, the strongest first."""

    base_score: float
    reasons: list[list[Reason]]

    def as_json(self) -> list[str]:
        """What the prediction log keeps: contributions without the values, which it may have to leave out."""
        kept = [[{"feature": r.feature, "contribution": r.contribution} for r in row] for row in self.reasons]
        return [msgspec.json.encode(row).decode() for row in kept]


class Explainer:
    """Explains the scores of one release by `background`, rows (rows, features) of its training; safe in threads."""

    def __init__(self, scorer: Scorer, background: np.ndarray, permutations: int, seed: int) -> None:
        self._scorer = scorer
        self._background = background
        self._permutations = permutations
        self._seed = seed

    def contributions(self, matrix: np.ndarray) -> tuple[float, np.ndarray]:
        """The base score and the contributions (rows, features); the same for a row whatever it stands among."""
        found = [self._row(row) for row in matrix]
        return found[0][0], np.vstack([contributions for _, contributions in found])

    def reasons(self, features: tuple[Feature, ...], matrix: np.ndarray) -> Explained:
        """The reasons of each row of (rows, features)."""
        base, contributions = self.contributions(matrix)
        return Explained(
            base, [_reasons(features, row, of_row) for row, of_row in zip(matrix, contributions, strict=True)]
        )

    def _row(self, row: np.ndarray) -> tuple[float, np.ndarray]:
        """The base score, and what each feature changes: as it becomes the row's, and the background's again.

        A feature that all of the background shares with the row changes nothing and is left out of the orders.
        """
        draw = np.random.RandomState(self._seed)  # whose orders are the ones that shap draws
        differs = (self._background != row) & ~(np.isnan(self._background) & np.isnan(row))
        order = np.flatnonzero(differs.any(axis=0))
        base, contributions = self._mean_scores(row, np.zeros((1, len(row)), dtype=bool))[0], np.zeros(len(row))
        for _ in range(self._permutations):
            draw.shuffle(order)
            steps = np.diff(self._mean_scores(row, _forwards_and_back(order, len(row))))
            contributions[order] += steps[: len(order)] - steps[len(order) :]
        return float(base), contributions / (2 * self._permutations)

    def _mean_scores(self, row: np.ndarray, are_own: np.ndarray) -> np.ndarray:
        """The mean score of the background for each of (masks, features), with the row's values where it is true."""
        rows = np.where(are_own[:, None, :], row, self._background)
        scores = self._scorer.score(rows.reshape(-1, len(row)))
        return scores.reshape(len(are_own), len(self._background)).mean(axis=1)


def _forwards_and_back(order: np.ndarray, features: int) -> np.ndarray:
    """Which features are the row's at each step: one more in that order until all are, then one less in the same."""
    steps = np.arange(2 * len(order) + 1)[:, None]
    begins = np.arange(1, len(order) + 1)
    masks = np.zeros((len(steps), features), dtype=bool)
    masks[:, order] = (steps >= begins) & (steps < begins + len(order))
    return masks


def _reasons(features: tuple[Feature, ...], row: np.ndarray, contributions: np.ndarray) -> list[Reason]:
    found = [
        Reason(feature.name, feature.title, value, contribution, _meaning(feature, value))
        for feature, value, contribution in zip(features, map(_whole, row), contributions.tolist(), strict=True)
    ]
    return sorted(found, key=lambda reason: -abs(reason.contribution))


def _whole(value: Any) -> int | None:
    return None if np.isnan(value) else int(value)


def _meaning(feature: Feature, value: int | None) -> str | None:
    return feature.codes.get(value) if isinstance(feature, Categorical) and value is not None else None
