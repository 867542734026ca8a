"""`mlops ledger`."""

import click

from ml.errors import InputRefused

__all__ = ["ledger"]


@click.group()
def ledger() -> None:
    """What an environment's ledger says of itself, and how it is set right after a key was stolen.

    Example: mlops ledger reseat --stack local-prod --reason "eve's laptop was stolen" --falls 7
    """


@ledger.command(epilog='Example: mlops ledger reseat --stack local-prod --reason "laptop stolen" --stands 7 --falls 8')
@click.option("--stack", required=True, help="A stack, like local-prod.")
@click.option("--reason", required=True, help="Why, for whoever verifies the ledger later.")
@click.option("--stands", multiple=True, type=click.IntRange(1), help="An entry that you sign again; may be repeated.")
@click.option("--falls", multiple=True, type=click.IntRange(1), help="An entry that counts no more; may be repeated.")
@click.option("--accept-loss", is_flag=True, help="Give up entries that are gone and can't be brought back.")
@click.option("--as", "name", help="Whose key signs  [default: MLOPS_SIGN_AS, git's user.email, the account]")
def reseat(
    stack: str, reason: str, stands: tuple[int, ...], falls: tuple[int, ...], accept_loss: bool, name: str | None
) -> None:
    """Decide what a revoked key signed too late, and accept that entries are gone.

    Each such entry must be named: what stands you sign again, by your own name; what falls counts no more. Approvals
    and deployments always fall, and are given anew. Without a decision, the command names what is to be decided. That
    entries are gone has to be said by one person more than the stack asks approvals of.
    """
    from ml.release.reseat import reseat as run
    from ml.release.stage import Stage

    if len(reason.strip()) < 10:
        raise InputRefused(f"{reason!r} gives no reason that somebody could understand later. Say it in a sentence.")
    stage = Stage.load(stack)
    for entry in run(stage, stands, falls, reason.strip(), stage.signer(name), accept_loss=accept_loss):
        click.echo(f"Written   entry {entry.sequence}: {entry.event}, signed by {entry.actor}")
    if lost := stage.ledger.compared()[1]:
        click.echo(f"Next      {stage.ledger.quorum} people have to accept that entry {lost[0].sequence} is gone")
        return
    click.echo(f"Stated    {stage.file}\nNext      mlops verify --stack {stack}, and commit the stack's file")
