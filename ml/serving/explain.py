"""Why a score is what it is: how much each feature moved it away from the mean score of the background rows.

The contributions are Shapley values of the score itself, estimated over random orders of the features, each order
taken forwards and backwards (Castro et al., 2009; `shap.PermutationExplainer`). For any model they add up exactly:
base score + sum of contributions = score. How it is done for a release stands in its bundle, with the background.
"""

import importlib
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml.errors import MlopsError, ReleaseRefused
from ml.problem import Categorical, Feature
from ml.serving.scorer import Scorer

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
    """Explains the scores of one release; safe to use from threads, one at a time."""

    def __init__(self, scorer: Scorer, background: np.ndarray, permutations: int, seed: int) -> None:
        shap = _load_shap()
        masker = shap.maskers.Independent(background, max_samples=len(background))
        self._explain: Any = shap.PermutationExplainer(scorer.score, masker, seed=seed)
        self._evaluations = permutations * (2 * background.shape[1] + 1)
        self._seed = seed
        self._lock = threading.Lock()

    def contributions(self, matrix: np.ndarray) -> tuple[float, np.ndarray]:
        """The base score and the contributions (rows, features); the same for a row whatever it stands among."""
        with self._lock:
            explained = [self._row(row) for row in matrix]
        return float(explained[0].base_values[0]), np.vstack([row.values for row in explained])

    def reasons(self, features: tuple[Feature, ...], matrix: np.ndarray) -> Explained:
        """The reasons of each row of (rows, features)."""
        base, contributions = self.contributions(matrix)
        return Explained(
            base, [_reasons(features, row, of_row) for row, of_row in zip(matrix, contributions, strict=True)]
        )

    def _row(self, row: np.ndarray) -> Any:
        np.random.seed(self._seed)  # shap draws its orders from numpy's global generator
        return self._explain(row[None, :], max_evals=self._evaluations, silent=True)


def _load_shap() -> Any:
    """Import shap, which takes seconds and 100 MB: only for those who ask for reasons.

    Where it brings numba (on Python 3.11), its small helpers are not compiled: that would take each process 10 to 20 s
    at its first explanation, and saves 3 ms of the 50 to 100 that a row takes.
    """
    try:
        with _without_compiling():
            import shap
    except ImportError as error:
        raise MlopsError(
            "This installation can't explain predictions: shap is missing. Install the extra `explain`."
        ) from error
    return shap


@contextmanager
def _without_compiling() -> Generator[None]:
    try:
        config: Any = importlib.import_module("numba.core.config")
    except ImportError:
        yield
        return
    before, config.DISABLE_JIT = config.DISABLE_JIT, 1
    try:
        yield
    finally:
        config.DISABLE_JIT = before


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
