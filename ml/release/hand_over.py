"""Unity Catalog, which Databricks serves from, gets a release: verified first, and once."""

from collections.abc import Callable
from typing import Final

import mlflow
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode

from ml.bundle.bundle import differences, fetch, file_digests, read_manifest
from ml.errors import MlopsError, ReleaseRefused
from ml.release.stage import Stage
from ml.scratch import scratch_folder
from ml.training.evaluation import MODEL_FOLDER
from ml.trust.signing import verify_signature

__all__ = ["READY", "UNITY_CATALOG", "hand_over"]

UNITY_CATALOG: Final = "databricks-uc"  # as MLflow's clients call the registry
WORKSPACE: Final = "databricks"  # and the tracking server beside it; without one MLflow makes a database right here
ONLY: Final = "1"  # a model's name says all of its content, so there is never a second version
READY: Final = "READY"
META_FILE: Final = "registered_model_meta"  # MLflow's client lays it beside what it downloads


def hand_over(
    stage: Stage,
    models: str,
    digest: str,
    say: Callable[[str], None],
    registry: str = UNITY_CATALOG,
    tracking: str = WORKSPACE,
) -> str:
    """Register a release of the store as `<models>.release_<64 digits>`, version 1; the model's whole name.

    Nothing is made where it is registered already, byte for byte. ReleaseRefused for one that is altered,
    in the store or there, or that nobody known has signed; MlopsError where the registry holds half of it.
    """
    say("Verifying the release")
    verify_signature(stage.store, digest, stage.trusted)
    name = f"{models}.release_{digest.removeprefix('sha256:')}"
    client = MlflowClient(tracking, registry)
    status = _status(client, name)
    if status == READY:
        _require_same(stage, digest, name, registry, tracking)
        say(f"It is there already: {name}")
        return name
    if status is not None:
        raise MlopsError(
            f"{name} is {status} in the registry: an earlier attempt did not end. Delete that model, and run the "
            "command again."
        )
    with scratch_folder() as scratch:
        bundle = scratch / "bundle"
        fetch(stage.store, digest, bundle)
        say(f"Registering {name}")
        made = _registered(client, name, (bundle / MODEL_FOLDER).as_uri())
    if str(made.version) != ONLY:
        raise MlopsError(
            f"{name} got version {made.version}: somebody deleted version {ONLY}, which endpoints serve. Delete the "
            "model, and run the command again."
        )
    return name


def _require_same(stage: Stage, digest: str, name: str, registry: str, tracking: str) -> None:
    """Compare what is registered with the release: the platform serves it, and others may write to the registry."""
    below = f"{MODEL_FOLDER}/"
    files = read_manifest(stage.store, digest).files
    expected = {file.removeprefix(below): of for file, of in files.items() if file.startswith(below)}
    mlflow.set_tracking_uri(tracking)  # MLflow's client asks the process's for a part of it
    with scratch_folder() as scratch:
        try:
            download_artifacts(
                f"models:/{name}/{ONLY}", dst_path=str(scratch), tracking_uri=tracking, registry_uri=registry
            )
        except (MlflowException, OSError) as error:
            raise MlopsError(f"The registry doesn't show what {name} is made of: {error}") from error
        wrong = differences(expected, file_digests(scratch, unlisted=frozenset({META_FILE})))
    if wrong:
        raise ReleaseRefused(
            f"What the registry calls {name} is not the release: {', '.join(wrong)}. Find out who changed it, delete "
            "that model, and run the command again."
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
