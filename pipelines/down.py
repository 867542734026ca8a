"""`make down`: end an environment, and its data if that is wished."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from infra.clouds.local import _supervisor
from infra.config import ConfigInvalid, StackConfig
from infra.engine.environ import engine_environment
from infra.engine.install import EngineMissing, install
from infra.engine.ownership import require_own_backend, require_own_stack
from ml.edge import sentences
from ml.errors import MlopsError
from ml.release.stackfile import drop_salt, stack_file, unpin
from ml.trust.witness import forget
from pipelines._steps import PROJECT, StepFailed, environment_exists, local_stack, run, say, unlock

__all__ = ["destroy"]


@click.command()
@click.option("--stack", default="local-dev", show_default=True, help="A stack of the local cloud.")
@click.option("--yes", is_flag=True, help="Delete the environment's data without asking.")
def down(stack: str, yes: bool) -> None:
    """Destroy an environment on this laptop; no process stays behind. Data is deleted only if you agree.

    Example: python -m pipelines.down --stack local-dev --yes
    """
    try:
        config = local_stack(stack)
        folder = config.local_root(PROJECT)
        environment = engine_environment(install(say))
        require_own_backend(os.environ | environment)
        is_there = environment_exists(stack, environment)
        if is_there:
            require_own_stack(stack, folder, environment)
            unlock(stack, environment)
            _destroy(config, environment)
        else:
            say(f"there is no stack {stack}")
        _supervisor.delete(str(folder), {})  # also what a state that is gone, or a stack removed by hand, left running
        if (yes and is_there) or (folder.exists() and (yes or _agrees(folder))):
            _forget(stack, folder, environment)
        drop_salt(stack_file(stack, PROJECT))
    except (StepFailed, EngineMissing, ConfigInvalid, MlopsError) as error:
        raise click.ClickException(str(error)) from error


def destroy(stack: str, environment: Mapping[str, str]) -> None:
    """End every process and resource of the stack; its data stays."""
    run(["pulumi", "destroy", "--yes", "--skip-preview", "--stack", stack], environment)


def _destroy(config: StackConfig, environment: Mapping[str, str]) -> None:
    try:
        destroy(config.stack, environment)
    except StepFailed as error:
        if config.environment.is_protected:
            raise StepFailed(
                f"{config.stack} is protected. When it must go: `pulumi state unprotect --all --stack {config.stack}`, "
                "then `make down` again."
            ) from error
        raise


def _agrees(folder: Path) -> bool:
    if not sys.stdin.isatty():
        say(f"the data in {folder} stays; `make down YES=1` deletes it")
        return False
    return click.confirm(f"Delete the data in {folder} (runs, bundles, logs)?", default=False)


def _forget(stack: str, folder: Path, environment: Mapping[str, str]) -> None:
    if folder.exists():  # a first `up` that was refused leaves none
        shutil.rmtree(folder)
    forget((folder / "store").as_uri(), stack)
    if environment_exists(stack, environment):
        run(["pulumi", "stack", "rm", "--yes", "--preserve-config", stack], environment)
    unpin(stack_file(stack, PROJECT))
    say(f"deleted {folder}; the stack file is as it was")


if __name__ == "__main__":
    with sentences("make down"):
        down()
