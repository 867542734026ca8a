"""`make preview`: any stack's plan with no account, and a picture of it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from infra.config import ConfigInvalid
from infra.config.reader import read_values
from infra.config.stack import decoded, parse_stack_name
from infra.engine.environ import engine_environment
from infra.engine.install import EngineMissing, install
from infra.simulation.command import FOLDER, simulated_environment
from infra.simulation.project import require_no_secrets
from ml.edge import sentences
from pipelines._steps import PROJECT, say

__all__ = ["preview", "program_of"]

ABOUT_THE_PLAN = ("Update plan written", "Run `pulumi up --plan")  # of no use to a reader: it is deleted


@click.command()
@click.option("--stack", required=True, help="Any stack: <cloud>-<platform>-<environment>.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Where the SVG goes.")
@click.option("--folder", type=click.Path(path_type=Path, resolve_path=True), default=FOLDER, hidden=True)
def preview(stack: str, picture: Path | None, folder: Path) -> None:
    """Show what `pulumi up` would do, with no account: the engine is real, the cloud is simulated.

    Example: python -m pipelines.preview --stack aws-sagemaker-prod
    """
    try:
        cloud, platform, _ = parse_stack_name(stack)
        require_no_secrets(stack, PROJECT)
        environment = os.environ | engine_environment(install(say))
    except (EngineMissing, ConfigInvalid) as error:
        raise click.ClickException(str(error)) from error
    say(f"{stack} on simulated clouds: nothing of this exists in an account, and nothing is created")
    started = time.monotonic()
    environment |= simulated_environment(folder) | {"PULUMI_EXPERIMENTAL": "true"}
    with (
        tempfile.TemporaryDirectory() as temporary,
        program_of(cloud, platform, environment) as program,
    ):
        plan = Path(temporary) / "plan.json"
        ended = _plan(stack, plan, folder, environment, program)
        if ended == 0:
            target = picture or folder / "pictures" / f"{stack}.svg"
            _draw(stack, plan, target)
            say(f"planned in {time.monotonic() - started:.1f} s; the picture: {target}")
    sys.exit(ended)


def _plan(stack: str, plan: Path, folder: Path, environment: dict[str, str], program: Callable[[], str]) -> int:
    """Have the engine plan the stack on simulated clouds, into the file `plan`; its exit code."""
    from infra.simulation.faults import Faults
    from infra.simulation.project import prepare
    from infra.simulation.server import simulated_clouds

    inside = prepare(PROJECT, folder)
    if stack.startswith("local-"):
        _choose_free_ports(inside / "stacks" / f"Pulumi.{stack}.yaml")
    with simulated_clouds(folder / "accounts", Faults.read()) as attached:
        environment = environment | attached
        if not (folder / "state" / ".pulumi" / "stacks" / "mlops" / f"{stack}.json").exists():
            _run(["pulumi", "stack", "init", stack], inside, environment, quiet=True)
        command = ["pulumi", "preview", "--stack", stack, "--save-plan", str(plan), "--client", program()]
        return _run(command, inside, environment)


def _draw(stack: str, plan: Path, target: Path) -> None:
    from infra.simulation.picture import draw
    from infra.simulation.plan import components_of

    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(draw(stack, components_of(plan)), encoding="utf-8")


@contextmanager
def program_of(cloud: str, platform: str, environment: Mapping[str, str]) -> Generator[Callable[[], str]]:
    """Begin to load a stack's program; yields what waits for the address at which an engine can have it run."""
    with subprocess.Popen(
        [sys.executable, "-m", "infra.engine.warm_host", cloud, platform],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # Ctrl-C is for the engine, which cancels the run
    ) as host:
        yield lambda: f"127.0.0.1:{host.stdout.readline().strip() if host.stdout else ''}"


def _choose_free_ports(file: Path) -> None:
    """For a plan of another environment than the one that may be up."""
    from pipelines._sandbox import PORTS, free_ports

    values = {key: decoded(value) for key, value in read_values(file).plain.items()}
    local = values.get("mlops:local", {})
    if isinstance(local, dict):  # else the program says what is wrong with it
        values["mlops:local"] = local | {"ports": dict(zip(PORTS, free_ports(len(PORTS)), strict=True))}
    file.write_text(json.dumps({"config": values}), encoding="utf-8")  # JSON is YAML
    say("its ports are any that are free: the environment itself may be up")


def _run(command: list[str], folder: Path, environment: dict[str, str], *, quiet: bool = False) -> int:
    output = subprocess.DEVNULL if quiet else None
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=output, stderr=subprocess.PIPE, text=True
    ) as running:
        for line in running.stderr or []:
            if line.strip() and not line.startswith(ABOUT_THE_PLAN):
                sys.stderr.write(line)
    return running.returncode


if __name__ == "__main__":
    with sentences("make preview"):
        preview()
