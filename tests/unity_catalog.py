"""Unity Catalog's registry of models as MLflow's own client asks it: a double, for it has no emulator.

Each request is parsed, and each answer made, by the messages that MLflow publishes: an unknown or misspelt member is
refused. Files go where the answer says, by keys that it hands out, into a real object store (moto's). Not there:
grants, lineage, prompts, deployment jobs.
"""

import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

import s3fs
from databricks.sdk.service.catalog import AwsCredentials
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from mlflow.protos import databricks_uc_registry_messages_pb2 as messages
from mlflow.store._unity_catalog.registry import rest_store
from mlflow.utils import _unity_catalog_utils as sdk_switch

__all__ = ["PREFIX", "Refusal", "Registry"]

PREFIX = "/api/2.0/mlflow/unity-catalog/"
ROUTES = {
    (verb, path): request
    for known in (rest_store._METHOD_TO_INFO, sdk_switch._METHOD_TO_INFO)
    for request, (path, verb) in known.items()
}
GONE = 0  # the status that no version has


class Refusal(Exception):
    """What the service says no with."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.content = status, {"error_code": code, "message": message}


class Registry:
    """The schemas named `schemas`, whose models lie below `root`, like s3://store/unity."""

    def __init__(self, root: str, schemas: tuple[str, ...], keys: AwsCredentials) -> None:
        self.root, self.schemas, self.keys = root, schemas, keys
        self.models: dict[str, messages.RegisteredModel] = {}
        self.versions: dict[str, dict[int, messages.ModelVersion]] = {}
        self.given: list[tuple[str, int, int]] = []  # credentials: model, number, operation

    def answer(self, verb: str, path: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Refusal where the service would say no."""
        request = ROUTES.get((verb, path))
        handler = getattr(self, _snake(request.__name__.removesuffix("Request")), None) if request else None
        if request is None or handler is None:
            raise Refusal(404, "ENDPOINT_NOT_FOUND", f"{verb} {path} is not part of this double")
        try:
            made = handler(ParseDict(dict(given), request()))
        except ParseError as error:
            raise Refusal(400, "INVALID_PARAMETER_VALUE", str(error)) from error
        return MessageToDict(made, preserving_proto_field_name=True) if made is not None else {}

    def _create_registered_model(self, asked: Any) -> Any:
        if asked.name in self.models:
            raise Refusal(400, "RESOURCE_ALREADY_EXISTS", f"Registered model '{asked.name}' already exists.")
        if asked.name.rpartition(".")[0] not in self.schemas or asked.name.count(".") != 2:
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"There is no schema for '{asked.name}'.")
        made = messages.RegisteredModel(name=asked.name, description=asked.description, creation_timestamp=_now())
        self.models[asked.name], self.versions[asked.name] = made, {}
        return messages.CreateRegisteredModelResponse(registered_model=made)

    def _get_registered_model(self, asked: Any) -> Any:
        return messages.GetRegisteredModelResponse(registered_model=self._model(asked.name))

    def _search_registered_models(self, _asked: Any) -> Any:
        return messages.SearchRegisteredModelsResponse(registered_models=list(self.models.values()))

    def _delete_registered_model(self, asked: Any) -> Any:
        self._model(asked.name)
        del self.models[asked.name], self.versions[asked.name]

    def _create_model_version(self, asked: Any) -> Any:
        """A number is never given twice."""
        self._model(asked.name)
        number = len(self.versions[asked.name]) + 1
        made = messages.ModelVersion(
            name=asked.name,
            version=str(number),
            source=asked.source,
            run_id=asked.run_id,
            tags=asked.tags,
            creation_timestamp=_now(),
            status=messages.PENDING_REGISTRATION,
            storage_location=f"{self.root}/__unitystorage/models/{uuid.uuid4()}/versions/{uuid.uuid4()}",
        )
        self.versions[asked.name][number] = made
        return messages.CreateModelVersionResponse(model_version=made)

    def _generate_temporary_model_version_credentials(self, asked: Any) -> Any:
        version = self._version(asked.name, asked.version)
        writes = asked.operation == messages.MODEL_VERSION_OPERATION_READ_WRITE
        if writes != (version.status == messages.PENDING_REGISTRATION):
            raise Refusal(400, "INVALID_STATE", "Files are written before a version is finalized, and read after it.")
        self.given.append((asked.name, int(asked.version), asked.operation))
        keys = messages.AwsCredentials(
            access_key_id=self.keys.access_key_id,
            secret_access_key=self.keys.secret_access_key,
            session_token=self.keys.session_token,
        )
        made = messages.TemporaryCredentials(aws_temp_credentials=keys, expiration_time=_now() + 3_600_000)
        return messages.GenerateTemporaryModelVersionCredentialsResponse(credentials=made)

    def _finalize_model_version(self, asked: Any) -> Any:
        version = self._version(asked.name, asked.version)
        files = s3fs.S3FileSystem(skip_instance_cache=True)
        if not files.exists(f"{version.storage_location}/MLmodel"):
            raise Refusal(400, "INVALID_STATE", f"No model was uploaded to {version.storage_location}.")
        version.status = messages.READY
        return messages.FinalizeModelVersionResponse(model_version=version)

    def _get_model_version(self, asked: Any) -> Any:
        return messages.GetModelVersionResponse(model_version=self._version(asked.name, asked.version))

    def _get_model_version_download_uri(self, asked: Any) -> Any:
        version = self._version(asked.name, asked.version)
        return messages.GetModelVersionDownloadUriResponse(artifact_uri=version.storage_location)

    def _search_model_versions(self, asked: Any) -> Any:
        """By a whole name alone, as the service allows."""
        word, is_, name = asked.filter.partition("=")
        if word.strip() != "name" or not is_:
            raise Refusal(400, "INVALID_PARAMETER_VALUE", f"{asked.filter!r} is no filter by name.")
        there = self.versions.get(name.strip().strip("'"), {}).values()
        kept = [version for version in there if version.status != GONE]
        return messages.SearchModelVersionsResponse(model_versions=kept)

    def _delete_model_version(self, asked: Any) -> Any:
        self._version(asked.name, asked.version).status = GONE

    def _set_model_version_tag(self, asked: Any) -> Any:
        self._version(asked.name, asked.version).tags.add(key=asked.key, value=asked.value)

    def _set_registered_model_alias(self, asked: Any) -> Any:
        self._version(asked.name, asked.version)
        model = self.models[asked.name]
        others = [each for each in model.aliases if each.alias != asked.alias]
        del model.aliases[:]
        model.aliases.extend([*others, messages.RegisteredModelAlias(alias=asked.alias, version=asked.version)])

    def _is_databricks_sdk_models_artifact_repository_enabled(self, _asked: Any) -> Any:
        return messages.IsDatabricksSdkModelsArtifactRepositoryEnabledResponse(
            is_databricks_sdk_models_artifact_repository_enabled=False
        )

    def _model(self, name: str) -> Any:
        if name not in self.models:
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"Registered model '{name}' does not exist.")
        return self.models[name]

    def _version(self, name: str, number: str) -> Any:
        found = self.versions.get(name, {}).get(int(number))
        if found is None or found.status == GONE:
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"Model version '{name}' {number} does not exist.")
        return found


def _snake(name: str) -> str:
    """CreateModelVersion as _create_model_version."""
    return re.sub(r"([A-Z])", r"_\1", name).lower()


def _now() -> int:
    return int(time.time() * 1000)
