"""`mlops promote`, `approve`, `rollback`, `retire`, `releases` and `verify`."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from ml.errors import InputRefused
from ml.release.stage import Stage

__all__ = ["approve", "promote", "releases", "retire", "rollback", "verify"]

_sign_as = click.option("--as", "name", help="Whose key signs  [default: MLOPS_SIGN_AS, git's user.email, the account]")
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_stack = click.option("--stack", required=True, help="A stack, like local-prod.")
_stacks = click.option("--stack", "stacks", required=True, multiple=True, help="A stack; may be given several times.")


@click.command(epilog="Example: mlops promote --from local-dev --to local-test")
@click.option("--from", "source", required=True, help="The stack where the release has passed.")
@click.option("--to", "target", required=True, help="The stack that is to run it.")
@click.option("--release", "digest", help="The release  [default: what the first stack serves]")
@_sign_as
@_json
def promote(source: str, target: str, digest: str | None, name: str | None, as_json: bool) -> None:
    """Copy a release to the next environment, check it there, record the evidence, and pin it.

    Can be run again after an interruption at any point. Exit code 3, with the old pin, when the release is refused.
    """
    say = _progress()
    stages = Stage.load(source), Stage.load(target)
    say("Loading the libraries of the model")
    from ml.problem import load_problem
    from ml.release.promote import promote as run

    done = run(*stages, digest, load_problem(), stages[1].signer(name), say)
    checks: Any = done.gate.details["checks"]
    if as_json:
        result = {"digest": done.digest, "replaced": done.replaced, "is_new": done.is_new, "checks": checks}
        click.echo(json.dumps(result | {"pinned_in": str(stages[1].file)}, indent=2))
        return
    for check in checks:
        click.echo(f"{check['name']:<10}{check['result']:<13} {check['note']}")
    click.echo(f"\nDigest    {done.digest}\nPinned    {stages[1].file}\nNext      pulumi up --stack {target}")


@click.command(epilog="Example: mlops approve --stack local-prod --release sha256:… --expires-in-days 14")
@_stack
@click.option("--release", "digest", required=True, help="The release.")
@click.option(
    "--expires-in-days", default=14, show_default=True, type=click.IntRange(1, 365), help="Days to deploy it."
)
@_sign_as
def approve(stack: str, digest: str, expires_in_days: int, name: str | None) -> None:
    """Let a release be deployed to a stack; its author can't.

    The approval has to be used before it expires; what was deployed under it may stay.
    """
    from ml.release.approve import approve as run
    from ml.release.registry import follow_ledger

    stage = Stage.load(stack)
    entry = run(stage, digest, expires_in_days, stage.signer(name))
    click.echo(
        f"Approved  {digest}\nFor       {stack}, by {entry.actor}, to be deployed before {entry.details['expires_at']}"
    )
    follow_ledger(stage, digest)


@click.command(epilog="Example: mlops rollback --stack local-prod")
@_stack
@click.option("--to", "digest", help="The release to go back to  [default: the one that served before]")
@_sign_as
def rollback(stack: str, digest: str | None, name: str | None) -> None:
    """Pin a release that served before; `pulumi up` then swaps to it."""
    from ml.release.rollback import roll_back

    stage = Stage.load(stack)
    target = roll_back(stage, digest, stage.signer(name))
    click.echo(f"Digest    {target}\nPinned    {stage.file}\nNext      pulumi up --stack {stack}")


@click.command(epilog='Example: mlops retire --stack local-test sha256:… --reason "the 2015 labels were wrong"')
@click.argument("release")
@_stack
@click.option("--reason", required=True, help="Why it must not be used again.")
@_sign_as
def retire(release: str, stack: str, reason: str, name: str | None) -> None:
    """Take RELEASE out of use for good: it can't be promoted, approved or pinned again."""
    from ml.release.registry import follow_ledger
    from ml.release.retire import retire as run

    if len(reason.strip()) < 10:
        raise InputRefused(f"{reason!r} gives no reason that somebody could understand later. Say it in a sentence.")
    stage = Stage.load(stack)
    entry = run(stage, release, reason.strip(), stage.signer(name))
    click.echo(f"Retired   {release}\nOn        {entry.at:%Y-%m-%d} by {entry.actor}: {entry.details['reason']}")
    follow_ledger(stage, release)


@click.command(epilog="Example: mlops releases --stack local-test --stack local-prod")
@_stacks
@_json
def releases(stacks: tuple[str, ...], as_json: bool) -> None:
    """What runs where since when, and every other release that the stacks know."""
    from ml.release.releases import releases as run

    states = [state for stack in stacks for state in run(Stage.load(stack))]
    if as_json:
        click.echo(json.dumps([asdict(state) for state in states], default=str, indent=2))
        return
    for state in states:
        until = f", approved until {state.approved_until:%Y-%m-%d}" if state.approved_until else ""
        click.echo(
            f"{'*' if state.is_pinned else ' '} {state.stack:<12} {state.release[:19]}…  "
            f"version {state.version or '?':<4} {state.state:<10} "
            f"since {state.since:%Y-%m-%d %H:%M} UTC by {state.by}{until}"
        )
    click.echo("* is pinned in the stack file" if states else "No release is known there yet.")


@click.command(epilog="Example: mlops verify --stack local-dev --stack local-test --stack local-prod")
@_stacks
@_json
def verify(stacks: tuple[str, ...], as_json: bool) -> None:
    """Verify every chain link, digest and signature of the stacks' ledgers and releases, without a network.

    Exit code 1 when anything doesn't hold.
    """
    from ml.release.audit import audit

    findings = audit(*map(Stage.load, dict.fromkeys(stacks)))
    broken = [finding for finding in findings if not finding.holds]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for found in findings:
            click.echo(
                f"{'holds ' if found.holds else 'BROKEN'}  {found.stack:<12} {found.subject[:19]:<20} {found.note}"
            )
        click.echo(f"\n{len(findings) - len(broken)} of {len(findings)} hold.")
    sys.exit(1 if broken else 0)


def _progress() -> Callable[[str], None]:
    started = time.monotonic()
    return lambda line: click.echo(f"{time.monotonic() - started:5.1f} s  {line}", err=True)
