"""One release, loaded: a request's bytes in, an answer's bytes out."""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec
import numpy as np

from ml.bundle.bundle import digest_of
from ml.bundle.manifest import Manifest
from ml.bundle.schema import SCHEMA_FILE, BundleSchema
from ml.errors import MlopsError, ReleaseRefused
from ml.model.compiled import CompiledScorer
from ml.model.explain import EXPLANATION_FILE, Explained, Explainer, Explanation, Reason
from ml.model.requests import RequestReader, RequestRefused, Rows
from ml.model.scorer import Scorer, load_scorer, mlflow_version
from ml.model.tables import TableReader

__all__ = ["MAXIMUM_EXPLAINED_ROWS", "Answer", "Prediction", "Scored", "ScoringFailed", "ServedModel"]

MAXIMUM_EXPLAINED_ROWS: Final = 20


class ScoringFailed(MlopsError):
    """The model gave no usable score for a valid request."""


class Prediction(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The probability of the positive outcome, the outcome decided at the threshold, and why, where that was asked."""

    score: float
    decision: int
    reasons: list[Reason] | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a prediction request is answered: one prediction per row, in order, and which release made them.

    `outcomes` says what each decision means. With reasons, `base_score` and their contributions add up to a score.
    """

    request_id: str
    model: str
    version: str
    release: str
    threshold: float
    outcomes: dict[int, str]
    predictions: list[Prediction]
    base_score: float | None = None


class Scored(NamedTuple):
    """A request's rows (rows, features) with their scores and decisions (rows,)."""

    rows: Rows
    scores: np.ndarray
    decisions: np.ndarray


class ServedModel:
    """A verified release that is loaded; safe to ask from several threads."""

    def __init__(
        self,
        manifest: Manifest,
        schema: BundleSchema,
        scorer: Scorer,
        maximum_rows: int,
        explanation: Explanation | None = None,
        mlflow_version: str = "",
    ) -> None:
        self.manifest = manifest
        self.schema = schema
        self.release = digest_of(manifest)
        self.columns = tuple(feature.name for feature in schema.features)
        self.mlflow_version = mlflow_version
        self._scorer = scorer
        self._explanation = explanation
        self._explainer: Explainer | None = None
        self._explainer_lock = threading.Lock()
        self._reader = RequestReader(schema, maximum_rows)
        self.tables = TableReader(schema.features, self._reader.dtype, maximum_rows)
        self._encoder = msgspec.json.Encoder()
        self._threshold = manifest.decision_threshold
        self._codes = np.array([schema.negative, schema.positive])

    @property
    def is_quick(self) -> bool:
        """Whether a small request is scored in less time than it takes to hand it to a thread."""
        return isinstance(self._scorer, CompiledScorer)

    @classmethod
    def load(cls, bundle: Path, manifest: Manifest, maximum_rows: int) -> Self:
        """Load a bundle that `ml.bundle.bundle.fetch` verified, and ask it for its own example row."""
        schema = BundleSchema.parse((bundle / SCHEMA_FILE).read_bytes())
        try:
            model = cls(
                manifest,
                schema,
                load_scorer(bundle, schema),
                maximum_rows,
                _explanation(bundle),
                mlflow_version(bundle),
            )
            model.answer(msgspec.json.encode(schema.example), "smoke-test")
        except MlopsError:
            raise
        except Exception as error:  # a model is foreign code: whatever it raises, this release can't serve
            raise ReleaseRefused(
                f"The release {digest_of(manifest)} can't answer its own example row: {type(error).__name__}: {error}"
            ) from error
        return model

    def read(self, body: bytes) -> Rows:
        """The rows of a native request; RequestRefused for a body that does not fit."""
        return self._reader.read(body)

    def score(self, rows: Rows) -> Scored:
        """Score rows that were read; ScoringFailed for a model that fails."""
        scores = self._scorer.score(rows.matrix)
        if scores.shape != (len(rows.matrix),) or not _are_probabilities(scores):
            raise ScoringFailed("The model gave a score that is no probability.")
        return Scored(rows, scores, self._codes.take(scores >= self._threshold))

    def explain(self, scored: Scored) -> Explained:
        """Why the scores are what they are; RequestRefused for too many rows, or where nothing can explain them."""
        matrix = scored.rows.matrix
        if len(matrix) > MAXIMUM_EXPLAINED_ROWS:
            raise RequestRefused(
                422, f"The request asks to explain {len(matrix)} rows; at most {MAXIMUM_EXPLAINED_ROWS} at once."
            )
        return self._loaded_explainer().reasons(self.schema.features, matrix)

    def encode(self, scored: Scored, request_id: str, explained: Explained | None = None) -> bytes:
        """The JSON of an Answer."""
        manifest = self.manifest
        parts: list[Iterable[Any]] = [scored.scores.tolist(), scored.decisions.tolist()]
        if explained:
            parts.append(explained.reasons)
        answer = Answer(
            request_id,
            manifest.name,
            manifest.version,
            self.release,
            self._threshold,
            self.schema.outcomes,
            list(map(Prediction, *parts)),
            explained.base_score if explained else None,
        )
        return self._encoder.encode(answer)

    def answer(self, body: bytes, request_id: str) -> tuple[bytes, np.ndarray, np.ndarray]:
        """The JSON of an Answer, the scores and the decisions; RequestRefused for a body that does not fit."""
        scored = self.score(self.read(body))
        return self.encode(scored, request_id), scored.scores, scored.decisions

    def _loaded_explainer(self) -> Explainer:
        """The explainer, made for the first who asks."""
        with self._explainer_lock:
            if self._explainer is None:
                if self._explanation is None:
                    raise RequestRefused(501, "This release has no explanation data. Release the model again.")
                found = self._explanation
                background = np.array(found.background, dtype=self._reader.dtype)
                self._explainer = Explainer(self._scorer, background, found.permutations, found.seed)
            return self._explainer


def _are_probabilities(scores: np.ndarray) -> bool:
    if len(scores) == 1:  # without numpy, whose calls would cost more than what they do
        return 0 <= scores.item() <= 1
    return np.count_nonzero((scores >= 0) & (scores <= 1)) == len(scores)


def _explanation(bundle: Path) -> Explanation | None:
    """The explanation data of a bundle; one from before there was any has none."""
    file = bundle / EXPLANATION_FILE
    return Explanation.parse(file.read_bytes()) if file.exists() else None
