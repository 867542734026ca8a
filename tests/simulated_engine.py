"""The real engine on simulated clouds, in a folder of its own: never the user's stacks, states or accounts."""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import s3fs
import yaml

from infra.engine.environ import PROJECT
from infra.engine.install import install
from infra.simulation.command import simulated_environment
from infra.simulation.faults import Fault, Faults
from infra.simulation.project import prepare
from infra.simulation.server import simulated_clouds

__all__ = ["Simulation", "simulation"]

TIMEOUT_S = 300


class Simulation:
    """Runs `pulumi` where the simulated clouds are attached."""

    def __init__(self, folder: Path, inside: Path, faults: Faults, attached: Mapping[str, str]) -> None:
        self.folder, self.inside, self.faults = folder, inside, faults
        engine = install(lambda line: print(line, file=sys.stderr))
        path = os.pathsep.join([str(Path(sys.prefix) / "bin"), str(engine.bin), os.environ["PATH"]])
        mine = {"PATH": path, "PULUMI_SKIP_UPDATE_CHECK": "true", "XDG_CONFIG_HOME": str(folder / "config")}
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLOPS_", "AWS_"))}
        self.environment = kept | mine | dict(attached) | simulated_environment(folder)

    def pulumi(self, *words: str, stack: str, fails: bool = False) -> str:
        """All it printed; RuntimeError when it doesn't end as expected.

        Where nothing is meant to fail the state is written once, at the end: half the engine's processor time.
        """
        once = {} if fails else {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}
        result = subprocess.run(
            ["pulumi", *words, "--stack", stack, "--non-interactive"],
            cwd=self.inside,
            env=self.environment | once,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        if (result.returncode != 0) != fails:
            raise RuntimeError(f"{' '.join(words)} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
        return result.stdout + result.stderr

    def steps(self, stack: str, *, fails: bool = False) -> dict[str, set[str]]:
        """What a preview would do: operation → names of resources."""
        printed = self.pulumi("preview", "--json", stack=stack, fails=fails)
        planned: dict[str, set[str]] = {}
        for step in json.loads(printed[printed.index("{") :])["steps"]:
            planned.setdefault(step["op"], set()).add(step["urn"].rpartition("::")[2])
        return planned

    def outputs(self, stack: str) -> dict[str, Any]:
        """The stack's outputs."""
        printed = self.pulumi("stack", "output", "--json", stack=stack)
        return json.loads(printed[printed.index("{") :])

    def configure(self, stack: str, **values: Any) -> None:
        """Change `mlops:` keys of the copied stack file; None removes one, a mapping is merged."""
        file = self.inside / "stacks" / f"Pulumi.{stack}.yaml"
        content: dict[str, Any] = yaml.safe_load(file.read_text())
        for key, value in values.items():
            old = content["config"].get(f"mlops:{key}")
            content["config"][f"mlops:{key}"] = {**(old or {}), **value} if isinstance(value, dict) else value
        content["config"] = {key: value for key, value in content["config"].items() if value is not None}
        file.write_text(yaml.safe_dump(content))

    def fail(self, *faults: Fault) -> None:
        """From now on."""
        self.faults.replace(list(faults))

    def things(self, stack: str) -> list[dict[str, Any]]:
        """What exists in the stack's account."""
        file = self.folder / "accounts" / f"{stack}.json"
        return json.loads(file.read_text()) if file.exists() else []


@contextmanager
def simulation(folder: Path, *, program: str | None = None, moto: bool = True) -> Generator[Simulation]:
    """Simulated clouds for as long as the block runs; the program is the project's, or the one that is given."""
    if program is None:
        inside = prepare(PROJECT, folder)
    else:
        inside = folder / "project"
        inside.mkdir()
        (folder / "state").mkdir()
        (inside / "Pulumi.yaml").write_text("name: program\nruntime: python\n")
        (inside / "__main__.py").write_text(program)
    faults = Faults([])
    s3fs.S3FileSystem.clear_instance_cache()  # one from another test would ask that test's server
    try:
        with simulated_clouds(folder / "accounts", faults, moto=moto) as attached:
            yield Simulation(folder, inside, faults, attached)
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
