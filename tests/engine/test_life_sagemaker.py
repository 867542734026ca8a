"""The life of the stacks on AWS with SageMaker."""

import pytest

from ml.runtime import Runtime
from tests.engine.life import *  # noqa: F403 # the tests themselves
from tests.engine.life import IMAGE, Served, Simulation, client

STACK = "aws-sagemaker-prod"


@pytest.fixture
def served(clouds: Simulation) -> Served:
    def check(stack: str, release: str) -> None:
        """The endpoint's container is the pinned image and was told the release; so is the monitor, by the store."""
        runtime = Runtime.model_validate(clouds.outputs(stack))
        sagemaker = client(clouds, stack, "sagemaker")
        (listed,) = sagemaker.list_endpoints()["Endpoints"]
        assert listed["EndpointStatus"] == "InService"
        endpoint = sagemaker.describe_endpoint(EndpointName=listed["EndpointName"])
        config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
        (variant,) = config["ProductionVariants"]
        container = sagemaker.describe_model(ModelName=variant["ModelName"])["PrimaryContainer"]
        assert container["Image"].endswith(f"@{IMAGE}")
        assert container["Environment"] == {"MLOPS_STORE_URI": runtime.store_uri, "MLOPS_RELEASE": release}
        bucket = runtime.store_uri.removeprefix("s3://")
        told = client(clouds, stack, "s3").get_object(Bucket=bucket, Key="runtime/endpoint.json")
        assert Runtime.model_validate_json(told["Body"].read()).release == release

    return check
