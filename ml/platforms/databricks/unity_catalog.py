"""Unity Catalog, which Databricks serves from, gets a release: verified first, and once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import mlflow
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode

from ml.bundle.bundle import differences, fetch, file_digests
from ml.bundle.evaluation import MODEL_FOLDER
from ml.bundle.manifest import Manifest
from ml.errors import MlopsError, ReleaseRefused
from ml.platform import Registered, Standing
from ml.platforms.databricks.platform import UNITY_CATALOG
from ml.scratch import scratch_folder

__all__ = ["UNITY_CATALOG", "UnityCatalog"]

WORKSPACE: Final = "databricks"  # and the tracking server beside it; without one MLflow makes a database right here
ONLY: Final = "1"  # a model's name says all of its content, so there is never a second version
READY: Final = "READY"
META_FILE: Final = "registered_model_meta"  # MLflow's client lays it beside what it downloads


@dataclass(frozen=True)
class UnityCatalog:
    """The schema of a stack, `<catalog>.<schema>`, as MLflow's clients reach it."""

    models: str
    registry: str = UNITY_CATALOG
    tracking: str = WORKSPACE

    def register(self, release: Registered, say: Callable[[str], None]) -> str:
        """`<models>.release_<64 digits>`, version 1; nothing is made where it is there already, byte for byte.

        ReleaseRefused for one that is altered, in the store or there; MlopsError where the registry holds half of it.
        """
        manifest = release.verified()
        name = f"{self.models}.release_{release.digest.removeprefix('sha256:')}"
        client = MlflowClient(self.tracking, self.registry)
        status = _status(client, name)
        if status == READY:
            self._require_same(manifest, name)
            say(f"It is there already: {name}")
            return name
        if status is not None:
            raise MlopsError(
                f"{name} is {status} in the registry: an earlier attempt did not end. Delete that model, and run the "
                "command again."
            )
        with scratch_folder() as scratch:
            bundle = scratch / "bundle"
            fetch(release.store, release.digest, bundle)
            say(f"Registering {name}")
            made = _registered(client, name, (bundle / MODEL_FOLDER).as_uri())
        if str(made.version) != ONLY:
            raise MlopsError(
                f"{name} got version {made.version}: somebody deleted version {ONLY}, which endpoints serve. Delete "
                "the model, and run the command again."
            )
        return name

    def follow(self, digest: str, standing: Standing) -> None:
        """Nothing: it knows no approvals, and what serves is what the stack's file pins."""

    def _require_same(self, manifest: Manifest, name: str) -> None:
        """Compare what is registered with the release: the platform serves it, and others may write there."""
        below = f"{MODEL_FOLDER}/"
        expected = {file.removeprefix(below): of for file, of in manifest.files.items() if file.startswith(below)}
        mlflow.set_tracking_uri(self.tracking)  # MLflow's client asks the process's for a part of it
        with scratch_folder() as scratch:
            try:
                download_artifacts(
                    f"models:/{name}/{ONLY}",
                    dst_path=str(scratch),
                    tracking_uri=self.tracking,
                    registry_uri=self.registry,
                )
            except (MlflowException, OSError) as error:
                raise MlopsError(f"The registry doesn't show what {name} is made of: {error}") from error
            wrong = differences(expected, file_digests(scratch, unlisted=frozenset({META_FILE})))
        if wrong:
            raise ReleaseRefused(
                f"What the registry calls {name} is not the release: {', '.join(wrong)}. Find out who changed it, "
                "delete that model, and run the command again."
            )


def _registered(client: MlflowClient, name: str, source: str) -> ModelVersion:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise MlopsError(f"The registry doesn't take {name}: {error.message}") from error
    try:
        return client.create_model_version(name, source)
    except MlflowException as error:
        raise MlopsError(f"The registry doesn't take the model of {name}: {error.message}") from error


def _status(client: MlflowClient, name: str) -> str | None:
    """The status of the model's version, None where there is none."""
    try:
        return str(client.get_model_version(name, ONLY).status)
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return None
        raise MlopsError(f"The registry doesn't say whether it holds {name}: {error.message}") from error
