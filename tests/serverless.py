"""Serverless compute of Databricks, as far as a job's task sees it: its environment, and the wheel's entry point.

What a job's `environments` name is really installed: the wheel from where the stack's program puts it, with the extra
that is named, by a resolver that sees no uv.lock. Of Databricks' own preinstalled libraries there is Spark alone, whose
tables are a folder's (tests/lakehouse.py). The Python is the tests' own, not that of the environment's version.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from tests import lakehouse
from tests.served import uv

__all__ = ["Serverless"]

# What runs a wheel's task: the entry point is looked up by its name in the package's own metadata.
CALL = """
import runpy, sys
from importlib.metadata import distribution
runpy.run_path(sys.argv.pop(1), run_name="__main__")
package, entry_point, *sys.argv[1:] = sys.argv[1:]
(found,) = [each for each in distribution(package).entry_points if each.name == entry_point]
found.load()()
"""
LAKEHOUSE = str(Path(__file__).with_name("lakehouse.py"))
SUBMITTED = "--master local[2] --conf spark.ui.enabled=false --driver-memory 512m pyspark-shell"
VOLUMES = "/Volumes/"


class Serverless:
    """`folder` holds the environments and the tables, `volumes` what stands for /Volumes."""

    def __init__(self, folder: Path, volumes: Path) -> None:
        self.folder, self.volumes, self.tables = folder, volumes, folder / "tables"
        self._pythons: dict[tuple[str, ...], Path] = {}

    def run(
        self, definition: Mapping[str, Any], task: Mapping[str, Any], told: Mapping[str, str], where: Mapping[str, str]
    ) -> tuple[str, str | None]:
        """Run a wheel's task with the job's parameters `told`; its log, and the error that it ended with."""
        wheel = task["pythonWheelTask"]
        (spec,) = [e["spec"] for e in definition["environments"] if e["environmentKey"] == task["environmentKey"]]
        named = {key: _filled(value, told) for key, value in wheel.get("namedParameters", {}).items()}
        words = [*wheel.get("parameters", []), *(f"--{key}={value}" for key, value in named.items())]
        ended = subprocess.run(
            [
                self.python(spec["dependencies"]),
                "-c",
                CALL,
                LAKEHOUSE,
                wheel["packageName"],
                wheel["entryPoint"],
                *words,
            ],
            env=_environment() | where | {lakehouse.FOLDER: str(self.tables)},
            cwd=self.folder,  # there is no checkout
            capture_output=True,
            text=True,
            check=False,
        )
        error = None if ended.returncode == 0 else ended.stderr.strip().rpartition("\n")[2] or "killed"
        return ended.stderr + ended.stdout, error

    def python(self, dependencies: Sequence[str]) -> Path:
        """The interpreter of an environment with these dependencies, installed once."""
        if tuple(dependencies) not in self._pythons:
            self._pythons[tuple(dependencies)] = self._installed(dependencies)
        return self._pythons[tuple(dependencies)]

    def _installed(self, dependencies: Sequence[str]) -> Path:
        (wheel,) = [Requirement(each) for each in dependencies]
        target = self.folder / f"environment-{len(self._pythons)}"
        path = str(wheel.url).removeprefix("file://")
        assert path.startswith(VOLUMES), path
        wanted = f"{wheel.name}[{','.join(wheel.extras)}] @ {(self.volumes / path.removeprefix(VOLUMES)).as_uri()}"
        _uv("venv", "--python", sys.executable, str(target))
        python = target / "bin" / "python"
        _uv("pip", "install", "--python", str(python), wanted, f"pyspark=={version('pyspark')}")
        return python


def _filled(value: str, told: Mapping[str, str]) -> str:
    """A reference to a job's parameter is that parameter; one to none is an error, as at Databricks."""
    name = value.removeprefix("{{job.parameters.").removesuffix("}}")
    return told[name] if value != name else value


def _environment() -> dict[str, str]:
    """What a task finds: no key of AWS, and nothing that a checkout or a stack would set."""
    gone = ("AWS_", "DATABRICKS_", "MLFLOW_", "MLOPS_", "PULUMI_", "PYTHON", "VIRTUAL_ENV")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(gone)}
    simulated = {"AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"], "AWS_EC2_METADATA_DISABLED": "true"}
    return kept | simulated | {"PYSPARK_SUBMIT_ARGS": SUBMITTED, "SPARK_LOCAL_IP": "127.0.0.1"}


def _uv(*words: str) -> None:
    done = subprocess.run([uv(), *words, "--quiet"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
