"""A project of its own in a temporary folder, run by the real engine: never the user's stacks, state or ports."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.clouds.local import _launch
from infra.engine.install import install

ROOT = Path(__file__).parents[2]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Project:
    """The checkout's program and a folder for everything that a run writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "stacks").mkdir()
        (folder / "state").mkdir()
        (folder / "infra").symlink_to(ROOT / "infra")
        shutil.copy(ROOT / "Pulumi.yaml", folder)
        engine = install(lambda line: print(line, file=sys.stderr))
        self.environment = os.environ | {
            "HOME": str(folder),
            "PATH": os.pathsep.join([str(Path(sys.prefix) / "bin"), str(engine.bin), os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "only for tests",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }

    def add_stack(self, stack: str, **config: Any) -> "Project":
        """A stack with ports of its own, without Prometheus unless the test asks for it."""
        ports = dict(zip(("tracking", "endpoint", "monitor", "metrics"), free_ports(4), strict=True))
        self.configure(stack, {"mlops:local": {"ports": ports, "prometheus": False} | config})
        self.run("stack", "init", stack)
        return self

    def configure(self, stack: str, values: dict[str, Any]) -> None:
        file = self.folder / "stacks" / f"Pulumi.{stack}.yaml"
        content = yaml.safe_load(file.read_text()) if file.exists() else {}
        content["config"] = content.get("config", {}) | values
        file.write_text(yaml.safe_dump(content))

    def config(self, stack: str) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "stacks" / f"Pulumi.{stack}.yaml").read_text())["config"]

    def run(self, *words: str, fails: bool = False) -> str:
        """Run the CLI; its output. Asserts that it ends as expected."""
        result = subprocess.run(
            ["pulumi", *words, "--non-interactive"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        output = result.stdout + result.stderr
        assert (result.returncode != 0) == fails, output
        return output

    def up(self, stack: str, *, fails: bool = False) -> str:
        return self.run("up", "--yes", "--skip-preview", "--stack", stack, fails=fails)

    def outputs(self, stack: str) -> dict[str, Any]:
        return json.loads(self.run("stack", "output", "--json", "--stack", stack))

    def root(self, stack: str) -> Path:
        return self.folder / ".mlops" / stack

    def processes(self, stack: str) -> dict[str, int]:
        """The pid of every process of the environment, by the name of its program."""
        marked = _launch.marked(str(self.root(stack) / "programs"), prefix=True)
        return {Path(process.environ()[_launch.MARK]).stem: process.pid for process in reversed(marked)}


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """One project a test module; whatever a test leaves running is ended."""
    with tempfile.TemporaryDirectory(prefix="mlops-engine-") as folder:
        project = Project(Path(folder).resolve())
        try:
            yield project
        finally:
            _launch.end(_launch.marked(folder, prefix=True))
            _launch.end(_launch.marked(str(Path(folder).resolve()), prefix=True))
