"""`make policies`: a stack made whole in a simulated account that is thrown away, and judged with all values known.

A preview can't know what only an account says, the ARN of a key for one, and so judges no document that holds it.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from infra.config import ConfigInvalid
from infra.config.stack import parse_stack_name
from infra.engine.environ import engine_environment
from infra.engine.install import EngineMissing, install
from infra.policies import JUDGED, PACK
from infra.simulation.command import simulated_environment
from infra.simulation.faults import Faults
from infra.simulation.project import prepare, require_no_secrets
from infra.simulation.server import simulated_clouds
from ml.edge import sentences
from pipelines._steps import PROJECT, say

__all__ = ["policies"]


@click.command()
@click.option(
    "--stack", required=True, help="A stack of a cloud that there are rules for: aws-<platform>-<environment>."
)
def policies(stack: str) -> None:
    """Judge a stack by every rule (docs/policies.md), with no account: the engine is real, the cloud is simulated.

    Example: python -m pipelines.policies --stack aws-sagemaker-prod
    """
    try:
        cloud, *_ = parse_stack_name(stack)
        require_no_secrets(stack, PROJECT)
        environment = os.environ | engine_environment(install(say))
    except (EngineMissing, ConfigInvalid) as error:
        raise click.ClickException(str(error)) from error
    if cloud not in JUDGED:
        raise click.ClickException(f"There are no rules for {cloud} yet, only for {', '.join(JUDGED)}.")
    say(f"{stack} is made in a simulated account, judged, and thrown away: nothing of it exists anywhere")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        inside = prepare(PROJECT, folder)
        with simulated_clouds(folder / "accounts", Faults([])) as attached:
            environment |= attached | simulated_environment(folder)
            ended = _judge(stack, inside, environment)
    say(f"{'every rule is kept' if ended == 0 else 'not accepted'}; {time.monotonic() - started:.1f} s")
    sys.exit(ended)


def _judge(stack: str, folder: Path, environment: dict[str, str]) -> int:
    made = ["pulumi", "up", "--yes", "--skip-preview", "--suppress-progress", "--suppress-outputs", "--stack", stack]
    for command in (["pulumi", "stack", "init", stack], [*made, "--policy-pack", str(PACK)]):
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if result.returncode:
            click.echo(result.stdout + result.stderr, nl=False)
            return result.returncode
    return 0


if __name__ == "__main__":
    with sentences("make policies"):
        policies()
