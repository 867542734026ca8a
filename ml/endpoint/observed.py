"""Which releases a stack's endpoint serves now: asked of the endpoint itself, or of the platform that runs it.

A model server says it at `/ready`, also behind a function's URL. SageMaker and Databricks pass on nothing but rows, so
the platform is asked what it runs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ml.aws.client import aws_errors, client
from ml.endpoint.ask import get
from ml.errors import InputRefused, MlopsError
from ml.runtime import Runtime

__all__ = ["Observed", "observe"]

SAGEMAKER: Final = re.compile(
    r"https://runtime\.sagemaker\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/endpoints/(?P<name>[^/]+)/invocations"
)
DATABRICKS: Final = re.compile(r"(?P<host>https?://[^/]+)/serving-endpoints/(?P<name>[^/]+)/invocations")
CHAMPION: Final = "champion"
RELEASE_VARIABLE: Final = "MLOPS_RELEASE"
RELEASE_MODEL: Final = re.compile(
    r"(.*\.)?release_(?P<digits>[0-9a-f]{64})"
)  # a registered model, see docs/databricks.md


@dataclass(frozen=True)
class Observed:
    """The release that answers, and those that are tried beside it; None where nothing has been loaded."""

    champion: str | None
    challengers: tuple[str, ...] = ()


def observe(runtime: Runtime) -> Observed:
    """What the stack's endpoint serves; MlopsError when it can't be asked."""
    url = str(runtime.endpoint_url)
    if found := SAGEMAKER.fullmatch(url):
        return _by_role(_sagemaker(found["region"], found["name"]), url)
    if found := DATABRICKS.fullmatch(url):
        return _by_role(_databricks(found["host"], found["name"]), url)
    state = get(runtime, "/ready")
    challenger = state.get("challenger") or {}
    tried = [challenger["release"]] if challenger.get("state") == "serving" else []
    return Observed(state.get("release"), tuple(tried))


def _by_role(releases: Mapping[str, str | None], url: str) -> Observed:
    """One of several is the champion by its name; one alone is it whatever it is called."""
    named = dict(releases)
    champion = named.pop(CHAMPION, None) if len(named) > 1 or CHAMPION in named else named.popitem()[1]
    if champion is None or None in named.values():
        raise MlopsError(f"{url} serves something that names no release. Look at it on its platform, and `pulumi up`.")
    return Observed(champion, tuple(str(release) for release in named.values()))


def _sagemaker(region: str, endpoint: str) -> dict[str, str | None]:
    """What each variant's container was told to serve."""
    sagemaker = client("sagemaker", region)
    try:
        name = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
        stated = sagemaker.describe_endpoint_config(EndpointConfigName=name)
        variants = [*stated["ProductionVariants"], *stated.get("ShadowProductionVariants", [])]
        return {v["VariantName"]: _told(sagemaker.describe_model(ModelName=v["ModelName"])) for v in variants}
    except aws_errors() as error:
        raise MlopsError(f"SageMaker doesn't say what the endpoint {endpoint} serves: {error}") from error


def _told(model: Mapping[str, Any]) -> str | None:
    return model.get("PrimaryContainer", {}).get("Environment", {}).get(RELEASE_VARIABLE)


def _databricks(host: str, endpoint: str) -> dict[str, str | None]:
    """A release is a registered model of its own, named by its digest."""
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
