"""Turn a matrix of features into scores; what a release's model is made of stays behind this."""

import pickle
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol

import numpy as np
import yaml
from pydantic import ValidationError

from ml.bundle.manifest import ScorerEvidence
from ml.bundle.schema import BundleSchema
from ml.errors import ReleaseRefused
from ml.model.compiled import CompiledScorer, Tables

__all__ = ["SCORER_FILE", "ExactScorer", "Scorer", "load_exact_scorer", "load_scorer", "mlflow_version"]

SCORER_FILE: Final = "scorer.json"
MODEL_FOLDER: Final = "model"
PICKLES: Final = ("pickle", "cloudpickle")


class Scorer(Protocol):
    """A model that is ready to score."""

    def score(self, matrix: np.ndarray) -> np.ndarray:
        """The probability of the positive class, one per row of (rows, features)."""
        ...


class _Frames:
    """Matrices as the DataFrames that a model takes: integers where a feature can't be missing."""

    def __init__(self, schema: BundleSchema) -> None:
        import pandas as pd

        self._frame = pd.DataFrame
        self._columns = [feature.name for feature in schema.features]
        nullable = any(feature.nullable for feature in schema.features)
        self._integers = {f.name: np.int64 for f in schema.features if not f.nullable} if nullable else {}

    def of(self, matrix: np.ndarray) -> Any:
        frame = self._frame(matrix, columns=self._columns, copy=False)
        return frame.astype(self._integers) if self._integers else frame


class ExactScorer:
    """A scikit-learn classifier that takes a DataFrame by column name."""

    def __init__(self, model: Any, schema: BundleSchema) -> None:
        from threadpoolctl import ThreadpoolController

        self._threads = ThreadpoolController()
        self.model = model
        self.frame = _Frames(schema).of
        classes = [int(code) for code in model.classes_]
        if len(classes) != 2:
            raise ReleaseRefused(f"The release's model tells {len(classes)} classes apart; a score needs 2.")
        # Training labels the positive code as the greater class.
        self.positive = int(np.argmax(classes))

    def score(self, matrix: np.ndarray) -> np.ndarray:
        """See Scorer."""
        frame = self.frame(matrix)
        # One OpenMP thread a request: on a busy machine waiting for a second one took 580 ms where this takes 40.
        with self._threads.limit(limits=1, user_api="openmp"):
            probabilities = self.model.predict_proba(frame)
        return np.asarray(probabilities[:, self.positive], dtype=np.float64)


class _PyfuncScorer:
    """Any MLflow model: it gives a probability a row, or one for each class with the positive one last."""

    def __init__(self, folder: Path, schema: BundleSchema) -> None:
        import mlflow.pyfunc

        self._frame = _Frames(schema).of
        self._model: Any = mlflow.pyfunc.load_model(str(folder))

    def score(self, matrix: np.ndarray) -> np.ndarray:
        """See Scorer."""
        found = np.asarray(self._model.predict(self._frame(matrix)), dtype=np.float64)
        return found[:, -1] if found.ndim == 2 else found


def load_scorer(bundle: Path, schema: BundleSchema) -> Scorer:
    """Load what scores a bundle that was verified: its tables where it has them, else the model itself."""
    file = bundle / SCORER_FILE
    if file.exists() and _evidence(file).kind != "exact":
        return CompiledScorer(Tables.load(bundle))
    description = _description(bundle)
    if _sklearn_pickle(description) is None and "python_function" in description.get("flavors", {}):
        return _load_pyfunc(bundle, schema)
    return load_exact_scorer(bundle, schema)


def load_exact_scorer(bundle: Path, schema: BundleSchema) -> ExactScorer:
    """Load the scikit-learn model of a bundle that was verified: loading a pickle runs what is in it.

    The MLflow model is read without MLflow, which would cost a second and 80 MB at every start of a server.
    """
    description = _description(bundle)
    pickled = _sklearn_pickle(description)
    if pickled is None:
        raise ReleaseRefused(
            "The release's model is not a scikit-learn model saved as a pickle. "
            f"Its MLmodel names {', '.join(description.get('flavors', {})) or 'nothing'}."
        )
    with (bundle / MODEL_FOLDER / pickled).open("rb") as file:
        return ExactScorer(pickle.load(file), schema)  # noqa: S301 # verified against the pinned digest


def mlflow_version(bundle: Path) -> str:
    """The MLflow that wrote the model of a bundle."""
    return str(_description(bundle).get("mlflow_version", ""))


def _load_pyfunc(bundle: Path, schema: BundleSchema) -> Scorer:
    try:
        return _PyfuncScorer(bundle / MODEL_FOLDER, schema)
    except ImportError as error:
        raise ReleaseRefused(
            f"The release's model needs {error.name}, which is not installed here: it is neither compiled nor a "
            "scikit-learn model, so MLflow loads it, with the libraries that it names."
        ) from error


def _evidence(file: Path) -> ScorerEvidence:
    try:
        return ScorerEvidence.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise ReleaseRefused(
            f"The bundle's {SCORER_FILE} is not one that this version reads: {error.errors()[0]['msg']}. "
            "Release the model again with this version."
        ) from error


def _description(bundle: Path) -> dict[str, Any]:
    return yaml.safe_load((bundle / MODEL_FOLDER / "MLmodel").read_text(encoding="utf-8"))


def _sklearn_pickle(description: dict[str, Any]) -> str | None:
    """The file of a scikit-learn model, None where it is another kind or not a pickle; never one outside its folder."""
    flavour = description.get("flavors", {}).get("sklearn")
    if not flavour or flavour.get("serialization_format") not in PICKLES:
        return None
    named = PurePosixPath(flavour["pickled_model"])
    if named.is_absolute() or ".." in named.parts:
        raise ReleaseRefused(f"The release's MLmodel names the file {named}, which is none of the release's.")
    return str(named)
