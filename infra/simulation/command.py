"""`mlops simulate`: any command with simulated clouds in place of real ones."""

import os
import subprocess
import sys
from pathlib import Path

import click

from infra.engine.environ import PROJECT, engine_environment
from infra.engine.install import EngineMissing, install

__all__ = ["FOLDER", "simulate", "simulated_environment"]

FOLDER_TYPE = click.Path(file_okay=False, path_type=Path, resolve_path=True)
FOLDER = PROJECT / ".mlops" / "simulation"


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--faults", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A YAML list of faults.")
@click.option("--folder", type=FOLDER_TYPE, default=FOLDER, help="Where accounts and states are kept.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def simulate(faults: Path | None, folder: Path, command: tuple[str, ...]) -> None:
    """Run COMMAND with simulated clouds: no account, no credentials, nothing leaves this machine.

    The engine is the real one; the clouds are not. Their accounts and the stacks' states are kept in
    .mlops/simulation, apart from those of real stacks.

    \b
    Example: mlops simulate -- pulumi up --stack aws-sagemaker-dev
             mlops simulate -- bash
    """
    from infra.simulation.faults import Faults
    from infra.simulation.project import prepare
    from infra.simulation.server import simulated_clouds

    try:
        engine = install(lambda line: click.echo(line, err=True))
        faulty = Faults.read(faults)
    except (EngineMissing, ValueError) as error:
        raise click.ClickException(str(error)) from error
    inside = prepare(PROJECT, folder)
    click.echo("The clouds are simulated: nothing of this exists in an account.", err=True)
    with simulated_clouds(folder / "accounts", faulty, moto=True) as attached:
        environment = os.environ | engine_environment(engine) | attached | simulated_environment(folder)
        ended = subprocess.run(command, cwd=inside, env=environment, check=False)
    sys.exit(ended.returncode)


def simulated_environment(folder: Path) -> dict[str, str]:
    """State of its own, a passphrase that guards nothing real, and credentials that open nothing."""
    return {
        "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
        "PULUMI_HOME": str(folder / "home"),  # the engine's logs, and which stack is selected
        "PULUMI_CONFIG_PASSPHRASE": "simulated",
        "AWS_ACCESS_KEY_ID": "simulated",
        "AWS_SECRET_ACCESS_KEY": "simulated",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
