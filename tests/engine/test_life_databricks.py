"""The life of the stacks on AWS with Databricks."""

import pytest

from tests.engine.life import *  # noqa: F403 # the tests themselves
from tests.engine.life import Served, Simulation

STACK = "aws-databricks-prod"


@pytest.fixture
def served(clouds: Simulation) -> Served:
    def check(stack: str, release: str) -> None:
        """Databricks has no emulator: this is what the simulated account holds."""
        (endpoint,) = [thing for thing in clouds.things(stack) if thing["type"].endswith(":ModelServing")]
        (entity,) = endpoint["inputs"]["config"]["servedEntities"]
        assert entity["entityName"].endswith(f".release_{release.removeprefix('sha256:')}")

    return check
