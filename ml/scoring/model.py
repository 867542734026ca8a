"""A release, loaded to score many rows: the same scores however its rows are cut into batches."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa

from ml.bundle.bundle import digest_of, fetch
from ml.bundle.manifest import Manifest
from ml.bundle.schema import SCHEMA_FILE, BundleSchema
from ml.errors import MlopsError, ReleaseRefused
from ml.model.model import ScoringFailed
from ml.model.scorer import Scorer, load_scorer
from ml.scratch import scratch_folder
from ml.store import Store
from ml.trust.keys import TrustedKeys
from ml.trust.signing import verify_signature

__all__ = ["SCORE_COLUMNS", "BulkModel", "verified_bundle"]

# Linear algebra and tree libraries choose another order of summation for another number of rows, and with it another
# last bit. They are always asked for so many rows, the last time with some to spare.
CHUNK_ROWS: Final = 8192
SCORE_COLUMNS: Final = pa.schema([("score", pa.float64()), ("decision", pa.int32()), ("release", pa.string())])


@contextmanager
def verified_bundle(store: Store, release: str) -> Generator[tuple[Path, Manifest]]:
    """A release's bundle in a folder for the time of the block; every byte and the signature are verified first."""
    with scratch_folder() as scratch:
        folder = scratch / "bundle"
        try:
            manifest = fetch(store, release, folder)
            verify_signature(store, release, TrustedKeys.of(store))  # loading a pickle runs what is in it
        except OSError as error:
            raise MlopsError(f"The store {store.uri} can't be read: {error}") from error
        yield folder, manifest


class BulkModel:
    """Scores and decides; made of a bundle that was verified."""

    def __init__(self, manifest: Manifest, schema: BundleSchema, scorer: Scorer) -> None:
        self.manifest = manifest
        self.schema = schema
        self.release = digest_of(manifest)
        self._scorer = scorer

    @classmethod
    def load(cls, bundle: Path, manifest: Manifest) -> Self:
        """Load a bundle; ReleaseRefused when its model can't be loaded here."""
        schema = BundleSchema.parse((bundle / SCHEMA_FILE).read_bytes())
        try:
            return cls(manifest, schema, load_scorer(bundle, schema))
        except MlopsError:
            raise
        except Exception as error:  # a model is foreign code
            raise ReleaseRefused(
                f"The release {digest_of(manifest)} can't be loaded: {type(error).__name__}: {error}"
            ) from error

    def score(self, matrix: np.ndarray) -> pa.RecordBatch:
        """SCORE_COLUMNS of each row of (rows, features); ScoringFailed for a score that is no probability."""
        scores = np.empty(len(matrix), dtype=np.float64)
        for start in range(0, len(matrix), CHUNK_ROWS):
            chunk = matrix[start : start + CHUNK_ROWS]
            padding = CHUNK_ROWS - len(chunk)
            full = np.concatenate([chunk, np.repeat(chunk[-1:], padding, axis=0)]) if padding else chunk
            answered = self._scorer.score(full)
            if answered.shape != (CHUNK_ROWS,):
                raise ScoringFailed(f"The model gave {answered.shape} scores for {CHUNK_ROWS} rows.")
            scores[start : start + len(chunk)] = answered[: len(chunk)]
        if not np.all((scores >= 0) & (scores <= 1)):
            raise ScoringFailed("The model gave a score that is no probability.")
        positive, negative = self.schema.positive, self.schema.negative
        decisions = np.where(scores >= self.manifest.decision_threshold, positive, negative).astype(np.int32)
        columns = [pa.array(scores), pa.array(decisions), pa.repeat(pa.scalar(self.release), len(scores))]
        return pa.RecordBatch.from_arrays(columns, schema=SCORE_COLUMNS)
