"""Which releases an endpoint of Databricks serves: registered models, named by a digest each."""

import re
from typing import Final

from ml.errors import InputRefused, MlopsError
from ml.platform import Observed
from ml.platforms.roles import by_role

__all__ = ["observe"]

ENDPOINT: Final = re.compile(r"(?P<host>https?://[^/]+)/serving-endpoints/(?P<name>[^/]+)/invocations")
RELEASE_MODEL: Final = re.compile(r"(.*\.)?release_(?P<digits>[0-9a-f]{64})")  # see docs/databricks.md


def observe(url: str) -> Observed | None:
    """What the endpoint at this URL serves, None where it is another's; MlopsError when Databricks doesn't say."""
    found = ENDPOINT.fullmatch(url)
    return by_role(_entities(found["host"], found["name"]), url) if found else None


def _entities(host: str, endpoint: str) -> dict[str, str | None]:
    try:
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.errors.base import DatabricksError
    except ImportError as error:
        raise InputRefused(
            "Databricks is asked with databricks-sdk: install this project with its extra `databricks`."
        ) from error
    try:
        config = WorkspaceClient(host=host).serving_endpoints.get(endpoint).config
    except (DatabricksError, ValueError, OSError) as error:
        raise MlopsError(f"Databricks doesn't say what the endpoint {endpoint} serves: {error}") from error
    served = (config.served_entities if config else None) or []
    return {str(entity.name): _release_of(entity.entity_name) for entity in served}


def _release_of(model: str | None) -> str | None:
    found = RELEASE_MODEL.fullmatch(model or "")
    return f"sha256:{found['digits']}" if found else None
