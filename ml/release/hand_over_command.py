"""`mlops hand-over`."""

import click

from ml.errors import InputRefused
from ml.release.stackfile import pinned, stack_file
from ml.release.stage import Stage
from ml.runtime import Runtime

__all__ = ["hand_over"]


@click.command("hand-over", epilog="Example: mlops hand-over --stack aws-databricks-dev")
@click.option("--stack", required=True, help="A stack whose platform has a registry of models of its own.")
@click.option("--release", "digest", help="The release  [default: what the stack's file pins]")
def hand_over(stack: str, digest: str | None) -> None:
    """Bring a release from the store into its platform's own registry of models, before `pulumi up`.

    Databricks serves what is in Unity Catalog. SageMaker serves from the store, and its registry shows the release
    with its metrics and whether the ledger lets it be deployed. Other platforms need none of this. Can be run again at
    any time. Exit code 3 for a release that is altered, or that nobody known has signed.
    """
    file = stack_file(stack)
    wanted = digest or pinned(file)
    if wanted is None:
        raise InputRefused(f"{file} pins no release. Run `mlops release` or `mlops promote`, or name one by --release.")
    runtime = Runtime.load(stack)
    if runtime.model_registry is None:
        raise InputRefused(f"{stack} serves releases from its store: there is no registry to bring them into.")
    _say("Loading the registry's client")
    from ml.release.registry import hand_over as run

    name = run(Stage.of(runtime, file), wanted, _say)
    click.echo(f"Release   {wanted}\nModel     {name}\nNext      pulumi up --stack {stack}")


def _say(line: str) -> None:
    """Progress, apart from the result."""
    click.echo(f"==> {line}", err=True)
