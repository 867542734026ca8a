"""The commands that infra adds to `mlops`: `doctor` and `env`."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass

import click

from infra.engine.environ import BACKEND, PROJECT, engine_environment
from infra.engine.install import EngineMissing, cache_folder, find, install
from infra.engine.ownership import other_checkout
from infra.engine.version import VERSION

__all__ = ["doctor", "env"]


@dataclass(frozen=True)
class Finding:
    """One thing that a run depends on."""

    what: str
    found: str
    is_fine: bool
    remedy: str = ""


@click.command(epilog="Example: mlops doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print a list of findings for a script.")
def doctor(as_json: bool) -> None:
    """Show what a run depends on, and the engine's source.

    Exit code 1 when something that is needed is missing.
    """
    findings = [_python(), _engine(), _state(), _tool("git", needed=True), _tool("prometheus", needed=False)]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{'ok ' if finding.is_fine else 'MISSING'}  {finding.what:<12}{finding.found}")
            if finding.remedy:
                click.echo(f"     {'':<12}{finding.remedy}")
    if not all(finding.is_fine for finding in findings):
        sys.exit(1)


@click.command(epilog='Example: eval "$(.venv/bin/mlops env)" && pulumi up --stack local-dev')
@click.option("--install", "must_install", is_flag=True, help="Get the engine first where it isn't here yet.")
def env(must_install: bool) -> None:
    """Print the shell variables that `pulumi` needs here."""
    try:
        engine = install(lambda line: click.echo(line, err=True)) if must_install else find()
    except EngineMissing as error:
        raise click.ClickException(str(error)) from error
    if engine is None:
        raise click.ClickException(f"The Pulumi CLI {VERSION} isn't here yet: run `mlops env --install` or `make up`.")
    other = other_checkout(os.environ.get(BACKEND))
    if other:
        click.echo(f"{BACKEND} was the state of another checkout, {other}; here it is that of {PROJECT}.", err=True)
    for name, value in engine_environment(engine, keeps_backend=other is None).items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _python() -> Finding:
    version = sys.version.split()[0]
    return Finding("Python", f"{version} in {sys.prefix}", (3, 11) <= sys.version_info[:2] <= (3, 14))


def _engine() -> Finding:
    if engine := find():
        return Finding("Pulumi", f"{VERSION}, {engine.source}: {engine.pulumi}", is_fine=True)
    tried = f"not on PATH at {VERSION}, not in {cache_folder()}"
    go = (
        "with go on PATH it is built"
        if shutil.which("go")
        else "go isn't on PATH, so only the vendor's release can help"
    )
    return Finding("Pulumi", tried, is_fine=False, remedy=f"`make up` gets it: the vendor's release first, then {go}.")


def _state() -> Finding:
    if engine := find():
        environment = os.environ | engine_environment(engine)
        passphrase = (
            "set" if "PULUMI_CONFIG_PASSPHRASE" in environment else environment["PULUMI_CONFIG_PASSPHRASE_FILE"]
        )
        found = f"{environment[BACKEND]}, passphrase {passphrase}"
        if other := other_checkout(environment[BACKEND]):
            remedy = f"It is the state of another checkout, {other}; this one is {PROJECT}: `unset {BACKEND}`."
            return Finding("State", found, is_fine=False, remedy=remedy)
        return Finding("State", found, is_fine=True)
    return Finding("State", "unknown without the engine", is_fine=False)


def _tool(name: str, *, needed: bool) -> Finding:
    path = shutil.which(name)
    if path is None:
        remedy = f"Install {name}." if needed else f"Without {name} the stack runs without it (optional)."
        return Finding(name, "not on PATH", is_fine=not needed, remedy=remedy)
    output = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    first_line = (output.stdout or output.stderr).strip().splitlines()[:1]
    return Finding(name, f"{first_line[0] if first_line else 'unknown version'}: {path}", is_fine=True)
