"""The life of the stacks on AWS with SageMaker."""

import pytest

from tests.engine.life import *  # noqa: F403 # the tests themselves
from tests.engine.life import Served, Simulation, client

TARGET = "aws-sagemaker"


@pytest.fixture
def served(clouds: Simulation) -> Served:
    def check(stack: str, _release: str) -> None:
        (endpoint,) = client(clouds, stack, "sagemaker").list_endpoints()["Endpoints"]
        assert endpoint["EndpointStatus"] == "InService"

    return check
