"""Projects of their own in temporary folders, run by the real engine: never the user's stacks, state or ports."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.engine.install import install
from ml.trust.keys import new_key
from pipelines._sandbox import Sandbox
from tests.simulated_engine import Simulation, simulation
from tests.stages import APPROVER, AUTHOR

pytest.register_assert_rewrite("tests.engine.life")


@pytest.fixture
def stack(request: pytest.FixtureRequest) -> str:
    """The stack whose life the file's tests are about."""
    return request.module.STACK


@pytest.fixture(scope="module")
def project() -> Iterator[Sandbox]:
    """One project a test module; whatever a test leaves running is ended."""
    with tempfile.TemporaryDirectory(prefix="mlops-engine-") as folder:
        sandbox = Sandbox(Path(folder), install(lambda line: print(line, file=sys.stderr)))
        sandbox.environment["MLOPS_PROBLEM"] = os.environ["MLOPS_PROBLEM"]
        try:
            yield sandbox
        finally:
            sandbox.end()


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    """Simulated clouds a test module, where the keys of author and approver count; the tests' process is a client."""
    keys = tmp_path_factory.mktemp("keys")
    with pytest.MonkeyPatch.context() as patch, simulation(tmp_path_factory.mktemp("simulation")) as running:
        trusted = {"MLOPS_TRUSTED_KEYS": str(keys), "MLOPS_SIGN_AS": AUTHOR, "AWS_DEFAULT_REGION": "eu-west-1"}
        running.environment |= trusted
        for name, value in running.environment.items():
            if name.startswith(("AWS_", "MLOPS_", "XDG_CONFIG")):
                patch.setenv(name, value)
        for person in (AUTHOR, APPROVER):
            new_key(person, share_in=keys)
        yield running
