"""A project of its own in a temporary folder, run by the real engine: never the user's stacks, state or ports."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.config import ENVIRONMENTS
from infra.engine.install import install
from pipelines._sandbox import Sandbox

pytest.register_assert_rewrite("tests.engine.life")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The tests of a life run in each environment of the file's target."""
    if target := getattr(metafunc.module, "TARGET", None):
        metafunc.parametrize("stack", [f"{target}-{environment}" for environment in ENVIRONMENTS])


@pytest.fixture(scope="module")
def project() -> Iterator[Sandbox]:
    """One project a test module; whatever a test leaves running is ended."""
    with tempfile.TemporaryDirectory(prefix="mlops-engine-") as folder:
        sandbox = Sandbox(Path(folder), install(lambda line: print(line, file=sys.stderr)))
        try:
            yield sandbox
        finally:
            sandbox.end()
