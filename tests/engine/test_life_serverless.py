"""The life of the stacks on AWS with Batch and Lambda."""

from pathlib import Path
from typing import Any

import pytest

from ml.problem import Problem
from tests.engine.life import *  # noqa: F403 # the tests themselves
from tests.engine.life import Served, Simulation, client, stage
from tests.stages import release_into

STACK = "aws-serverless-dev"


@pytest.fixture
def served(clouds: Simulation, candidate: Path, small_problem: Problem) -> Served:
    """The alias leads to a published version, which was told the release; then a canary is tried."""

    def check(stack: str, release: str) -> None:
        is_served(clouds, stack, release)
        challenger = release_into(stage(clouds, stack), candidate, small_problem, version="2")
        a_canary_is_weighed_and_withdrawn(clouds, stack, challenger)
        is_served(clouds, stack, release)

    return check


def is_served(clouds: Simulation, stack: str, release: str) -> None:
    functions = client(clouds, stack, "lambda")
    name = endpoint_of(functions)
    version = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    assert version != "$LATEST"
    assert release_of(functions, name, version) == release
    assert functions.get_function_url_config(FunctionName=name)["AuthType"] == "AWS_IAM"
    (queue,) = client(clouds, stack, "batch").describe_job_queues()["jobQueues"]
    assert queue["jobQueueArn"] == clouds.outputs(stack)["job_queue"]


def a_canary_is_weighed_and_withdrawn(clouds: Simulation, stack: str, challenger: str) -> None:
    """A challenger is published as the next version, against the one that serves."""
    functions = client(clouds, stack, "lambda")
    name = endpoint_of(functions)
    before = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    clouds.configure(stack, challenger={"release": challenger, "mode": "canary", "weight": 0.2})
    clouds.pulumi("up", "--yes", "--skip-preview", stack=stack)
    alias = functions.get_alias(FunctionName=name, Name="live")
    ((version, weight),) = alias["RoutingConfig"]["AdditionalVersionWeights"].items()
    assert (alias["FunctionVersion"], weight) == (before, 0.2)
    assert release_of(functions, name, version) == challenger
    clouds.pulumi("preview", "--expect-no-changes", stack=stack)
    clouds.configure(stack, challenger=None)
    clouds.pulumi("up", "--yes", "--skip-preview", stack=stack)


def endpoint_of(functions: Any) -> str:
    (name,) = [
        each["FunctionName"] for each in functions.list_functions()["Functions"] if "endpoint" in each["FunctionName"]
    ]
    return name


def release_of(functions: Any, name: str, version: str) -> str:
    told = functions.get_function_configuration(FunctionName=name, Qualifier=version)
    return told["Environment"]["Variables"]["MLOPS_RELEASE"]
