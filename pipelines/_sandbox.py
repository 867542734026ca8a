"""A project of its own in a folder: the checkout's program, with stacks, state, keys and ports of its own."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from infra.clouds.local import _launch
from infra.engine.install import Engine
from pipelines._steps import PROJECT

__all__ = ["PORTS", "Sandbox", "free_ports"]

TIMEOUT_S = 900
UNASSIGNED = range(20_000, 32_768)  # systems give higher ones to outgoing connections
PORTS = ("tracking", "endpoint", "monitor", "metrics")


class Sandbox:
    """Runs `pulumi` and `mlops` in `folder`, which must be empty; the user's own stacks are never touched."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder.resolve()
        for name in ("stacks", "state"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "infra").symlink_to(PROJECT / "infra")
        shutil.copy(PROJECT / "Pulumi.yaml", self.folder)
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("MLOPS_")} | {
            "PATH": os.pathsep.join([str(Path(sys.prefix) / "bin"), str(engine.bin), os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": (self.folder / "state").as_uri(),
            "PULUMI_HOME": str(self.folder / "home"),  # the engine's logs, and which stack is selected
            "PULUMI_CONFIG_PASSPHRASE": "a sandbox has no secrets",
            "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "XDG_CONFIG_HOME": str(self.folder / "config"),
        }

    def add_stack(self, stack: str, **local: Any) -> None:
        """A stack with free ports, without Prometheus unless `prometheus` asks for it."""
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.configure(stack, {"mlops:local": {"ports": ports, "prometheus": False} | local})
        self.pulumi("stack", "init", stack)

    def stack_file(self, stack: str) -> Path:
        """The stack's file."""
        return self.folder / "stacks" / f"Pulumi.{stack}.yaml"

    def configure(self, stack: str, values: Mapping[str, Any]) -> None:
        """Set configuration keys; None removes one."""
        file = self.stack_file(stack)
        content: dict[str, Any] = yaml.safe_load(file.read_text()) if file.exists() else {}
        merged = content.get("config", {}) | values
        content["config"] = {key: value for key, value in merged.items() if value is not None}
        file.write_text(yaml.safe_dump(content))

    def config(self, stack: str) -> dict[str, Any]:
        """The stack file's configuration."""
        return yaml.safe_load(self.stack_file(stack).read_text())["config"]

    def run(self, *command: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder; RuntimeError with its output when it doesn't end as expected."""
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        if (result.returncode != 0) != fails:
            shown = " ".join(command)
            raise RuntimeError(f"`{shown}` ended with {result.returncode}:\n{result.stdout}{result.stderr}")
        return result

    def pulumi(self, *words: str, fails: bool = False) -> str:
        """Run the engine: all it printed."""
        result = self.run("pulumi", *words, "--non-interactive", fails=fails)
        return result.stdout + result.stderr

    def mlops(self, *words: str, fails: bool = False) -> str:
        """Run the command line: all it printed."""
        result = self.run(sys.executable, "-m", "ml", *words, fails=fails)
        return result.stdout + result.stderr

    def ask(self, *words: str) -> Any:
        """Run the command line with --json: its answer."""
        return json.loads(self.run(sys.executable, "-m", "ml", *words, "--json").stdout)

    def up(self, stack: str, *, fails: bool = False) -> str:
        """`pulumi up` without asking."""
        return self.pulumi("up", "--yes", "--skip-preview", "--stack", stack, fails=fails)

    def outputs(self, stack: str) -> dict[str, Any]:
        """The stack's outputs."""
        return json.loads(self.run("pulumi", "stack", "output", "--json", "--stack", stack).stdout)

    def root(self, stack: str) -> Path:
        """The environment's folder."""
        return self.folder / ".mlops" / stack

    def processes(self, stack: str) -> dict[str, int]:
        """The pid of every process of the environment, by the name of its program."""
        found: dict[str, int] = {}
        for process in reversed(_launch.marked(str(self.root(stack) / "programs"), prefix=True)):
            with suppress(psutil.Error, KeyError):  # one that has just ended has no environment any more
                found[Path(process.environ()[_launch.MARK]).stem] = process.pid
        return found

    def end(self) -> None:
        """End every process that any of its stacks left running."""
        _launch.end(_launch.marked(f"{self.folder}/", prefix=True))


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens now, and that nobody is given who asks for any."""
    found: list[int] = []
    with ExitStack() as held:
        for port in random.SystemRandom().sample(UNASSIGNED, len(UNASSIGNED)):
            if len(found) == count:
                break
            listener = held.enter_context(socket.socket())
            with suppress(OSError):
                listener.bind(("127.0.0.1", port))
                found.append(port)
    return found
