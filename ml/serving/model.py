"""One release, loaded: a request's bytes in, an answer's bytes out."""

from pathlib import Path
from typing import NamedTuple, Self

import msgspec
import numpy as np

from ml.errors import MlopsError, ReleaseRefused
from ml.release.bundle import digest_of
from ml.release.manifest import Manifest
from ml.release.schema import SCHEMA_FILE, BundleSchema
from ml.serving.schema import RequestReader, Rows
from ml.serving.scorer import Scorer, load_scorer

__all__ = ["Answer", "Prediction", "Scored", "ScoringFailed", "ServedModel"]


class ScoringFailed(MlopsError):
    """The model gave no usable score for a valid request."""


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """The probability of the positive outcome, and the outcome decided at the threshold."""

    score: float
    decision: int


class Answer(msgspec.Struct, frozen=True):
    """What a prediction request is answered: one prediction per row, in order, and which release made them.

    `outcomes` says what each decision means.
    """

    request_id: str
    model: str
    version: str
    release: str
    threshold: float
    outcomes: dict[int, str]
    predictions: list[Prediction]


class Scored(NamedTuple):
    """A request's rows (rows, features) with their scores and decisions (rows,)."""

    rows: Rows
    scores: np.ndarray
    decisions: np.ndarray


class ServedModel:
    """A verified release that is loaded; safe to ask from several threads."""

    def __init__(self, manifest: Manifest, schema: BundleSchema, scorer: Scorer, maximum_rows: int) -> None:
        self.manifest = manifest
        self.schema = schema
        self.release = digest_of(manifest)
        self.columns = tuple(feature.name for feature in schema.features)
        self._scorer = scorer
        self._reader = RequestReader(schema, maximum_rows)
        self._encoder = msgspec.json.Encoder()

    @classmethod
    def load(cls, bundle: Path, manifest: Manifest, maximum_rows: int) -> Self:
        """Load a bundle that `ml.release.bundle.fetch` verified, and ask it for its own example row."""
        schema = BundleSchema.parse((bundle / SCHEMA_FILE).read_bytes())
        try:
            model = cls(manifest, schema, load_scorer(bundle, schema), maximum_rows)
            model.answer(msgspec.json.encode(schema.example), "smoke-test")
        except MlopsError:
            raise
        except Exception as error:  # a model is foreign code: whatever it raises, this release can't serve
            raise ReleaseRefused(
                f"The release {digest_of(manifest)} can't answer its own example row: {type(error).__name__}: {error}"
            ) from error
        return model

    def score(self, body: bytes) -> Scored:
        """Score a request; RequestRefused for a body that does not fit, ScoringFailed for a model that fails."""
        rows = self._reader.read(body)
        scores = self._scorer.score(rows.matrix)
        if scores.shape != (len(rows.matrix),) or not np.all((scores >= 0) & (scores <= 1)):
            raise ScoringFailed("The model gave a score that is no probability.")
        positive, negative = self.schema.positive, self.schema.negative
        return Scored(rows, scores, np.where(scores >= self.manifest.decision_threshold, positive, negative))

    def encode(self, scored: Scored, request_id: str) -> bytes:
        """The JSON of an Answer."""
        manifest = self.manifest
        answer = Answer(
            request_id=request_id,
            model=manifest.name,
            version=manifest.version,
            release=self.release,
            threshold=manifest.decision_threshold,
            outcomes=self.schema.outcomes,
            predictions=[
                Prediction(*pair) for pair in zip(scored.scores.tolist(), scored.decisions.tolist(), strict=True)
            ],
        )
        return self._encoder.encode(answer)

    def answer(self, body: bytes, request_id: str) -> tuple[bytes, np.ndarray, np.ndarray]:
        """The JSON of an Answer, the scores and the decisions; RequestRefused for a body that does not fit."""
        scored = self.score(body)
        return self.encode(scored, request_id), scored.scores, scored.decisions
