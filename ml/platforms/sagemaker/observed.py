"""Which releases an endpoint of SageMaker serves: what each variant's container was told."""

import re
from collections.abc import Mapping
from typing import Any, Final

from ml.errors import MlopsError
from ml.platform import Observed
from ml.platforms.aws.client import aws_errors, client
from ml.platforms.roles import by_role

__all__ = ["observe"]

ENDPOINT: Final = re.compile(
    r"https://runtime\.sagemaker\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/endpoints/(?P<name>[^/]+)/invocations"
)
RELEASE_VARIABLE: Final = "MLOPS_RELEASE"


def observe(url: str) -> Observed | None:
    """What the endpoint at this URL serves, None where it is another's; MlopsError when SageMaker doesn't say."""
    found = ENDPOINT.fullmatch(url)
    return by_role(_variants(found["region"], found["name"]), url) if found else None


def _variants(region: str, endpoint: str) -> dict[str, str | None]:
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
