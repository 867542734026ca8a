"""`mlops permissions`: what an account has to allow before the first `pulumi up`."""

import json
from pathlib import Path

import click

from infra.config import ConfigInvalid, StackConfig
from infra.engine.environ import PROJECT
from infra.engine.secrets import read_config
from infra.permissions.policies import boundary, deploy_policies

__all__ = ["permissions"]


@click.command(epilog="Example: mlops permissions --stack aws-sagemaker-dev --into permissions")
@click.option(
    "--stack", required=True, help="A stack on AWS, like aws-sagemaker-dev; its file says account and region."
)
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), help="Write one file a policy here.")
def permissions(stack: str, into: Path | None) -> None:
    """Print the least that deploying a stack needs of its account, as IAM policies.

    They are for the role of a person or of CI, narrowed to the stack's names; with them, and only with the boundary
    attached, can roles be made for the stack's workloads.
    """
    config = _config(stack)
    made = {"boundary": boundary(config)}
    made |= {f"deploy-{number}": policy for number, policy in enumerate(deploy_policies(config), start=1)}
    if into is None:
        click.echo(json.dumps(made, indent=2))
        return
    into.mkdir(parents=True, exist_ok=True)
    for name, policy in made.items():
        file = into / f"{name}.json"
        file.write_text(json.dumps(policy, indent=2) + "\n", encoding="utf-8")
        click.echo(f"aws iam create-policy --policy-name mlops-{stack}-{name} --policy-document file://{file}")


def _config(stack: str) -> StackConfig:
    file = PROJECT / "stacks" / f"Pulumi.{stack}.yaml"
    if not file.exists():
        known = ", ".join(sorted(each.name.split(".")[1] for each in file.parent.glob("Pulumi.aws-*.yaml")))
        raise click.UsageError(f"There is no {file}. The stacks on AWS are: {known}.")
    try:
        config = read_config(stack, file)
    except ConfigInvalid as error:
        raise click.UsageError(str(error)) from error
    if config.aws is None:
        raise click.UsageError(f"{stack} is not on AWS: there is nothing to allow.")
    if not config.aws.roles_are_bounded:
        click.echo(
            "With these policies no role can be made without the boundary. Say roles_are_bounded: true below mlops:aws "
            f"in {file}.",
            err=True,
        )
    return config
