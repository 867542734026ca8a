"""`mlops promote`, `approve`, `rollback`, `retire`, `releases` and `verify`."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import click

from ml.errors import InputRefused
from ml.release.stage import Stage

__all__ = ["approve", "promote", "releases", "retire", "rollback", "verify"]

SHORTEST_REASON: Final = 10  # characters
LONGEST_WAIVER_DAYS: Final = 90

_sign_as = click.option("--as", "name", help="Whose key signs  [default: MLOPS_SIGN_AS, git's user.email, the account]")
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_stack = click.option("--stack", required=True, help="A stack, like local-prod.")
_stacks = click.option("--stack", "stacks", required=True, multiple=True, help="A stack; may be given several times.")


@click.command(epilog="Example: mlops promote --from local-dev --to local-test")
@click.option("--from", "source", required=True, help="The stack where the release has passed.")
@click.option("--to", "target", required=True, help="The stack that is to run it.")
@click.option("--release", "digest", help="The release  [default: what the first stack serves]")
@click.option(
    "--waive-modified-code",
    "reason",
    metavar="REASON",
    help="Why a release of code that no commit holds may go on; recorded, with your signature.",
)
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="With that: the last day on which it may be deployed.")
@_sign_as
@_json
def promote(
    source: str,
    target: str,
    digest: str | None,
    reason: str | None,
    until: datetime | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Copy a release to the next environment, check it there, record the evidence, and pin it.

    Its figures are judged by the gates of this checkout's problem definition.

    Can be run again after an interruption at any point. Exit code 3, with the old pin, when the release is refused.
    """
    waiving = _waiving(reason, until)
    say = _progress()
    stages = Stage.load(source), Stage.load(target)
    say("Loading the libraries of the model")
    from ml.problem import load_problem
    from ml.release.checks import CodeWaiver
    from ml.release.promote import promote as run

    waiver = CodeWaiver(*waiving) if waiving else None
    done = run(*stages, digest, load_problem(), stages[1].signer(name), say, waiver)
    checks: Any = done.gate.details["checks"]
    if as_json:
        result = {"digest": done.digest, "replaced": done.replaced, "is_new": done.is_new, "checks": checks}
        click.echo(json.dumps(result | {"pinned_in": str(stages[1].file)}, indent=2))
        return
    for check in checks:
        click.echo(f"{check['name']:<10}{check['result'].replace('_', ' '):<15} {check['note']}")
    click.echo(f"\nDigest    {done.digest}\nPinned    {stages[1].file}\nNext      pulumi up --stack {target}")


@click.command(epilog="Example: mlops approve --stack local-prod --release sha256:… --expires-in-days 14")
@_stack
@click.option("--release", "digest", required=True, help="The release.")
@click.option(
    "--expires-in-days", default=14, show_default=True, type=click.IntRange(1, 365), help="Days to deploy it."
)
@click.option("--yes", is_flag=True, help="Approve without being asked, as a script must.")
@_sign_as
@_json
def approve(stack: str, digest: str, expires_in_days: int, yes: bool, name: str | None, as_json: bool) -> None:
    """Let a release be deployed to a stack; its author can't.

    Shows its gates by this checkout's definition, its figures beside those of the release in service, its groups, its
    code and its waivers, and asks. The approval has to be used before it expires; what was deployed under it may stay.
    """
    from ml.problem import load_problem
    from ml.release import case
    from ml.release.approve import approve as run
    from ml.release.approve import open_case
    from ml.release.registry import follow_ledger

    stage, problem = Stage.load(stack), load_problem()
    signer = stage.signer(name)
    shown = open_case(stage, digest, signer.public, problem)
    if not as_json:
        click.echo(case.as_text(shown, datetime.now(UTC) + timedelta(days=expires_in_days)))
    if not yes:
        _confirm(f"Approve it for {stack} as {signer.public.name}?")
    entry = run(stage, digest, expires_in_days, signer, problem)
    if as_json:
        result = {"stack": stack, "approved_by": entry.actor, "expires_at": entry.details["expires_at"]}
        click.echo(json.dumps(result | {"case": case.as_json(shown)}, indent=2))
    else:
        expires = entry.details["expires_at"]
        click.echo(f"\nApproved  {digest}\nFor       {stack}, by {entry.actor}, to be deployed before {expires}")
    follow_ledger(stage, digest)


def _confirm(question: str) -> None:
    """Go on only when a person says so."""
    if not sys.stdin.isatty():
        raise InputRefused("Nobody is there to answer. Read what is shown, and say --yes to approve it.")
    if not click.confirm(f"\n{question}", err=True):
        raise InputRefused("Nothing was approved.")


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

    _require_reason(reason)
    stage = Stage.load(stack)
    entry = run(stage, release, reason.strip(), stage.signer(name))
    click.echo(f"Retired   {release}\nOn        {entry.at:%Y-%m-%d} by {entry.actor}: {entry.details['reason']}")
    follow_ledger(stage, release)


@click.command(epilog="Example: mlops releases --stack local-test --stack local-prod")
@_stacks
@click.option("--release", "digest", help="Instead: all that the ledgers say of this release, with every check.")
@_json
def releases(stacks: tuple[str, ...], digest: str | None, as_json: bool) -> None:
    """What runs where since when, and every other release that the stacks know; of one release, its whole story."""
    from ml.release.releases import releases as run

    if digest is not None:
        _story(stacks, digest, as_json=as_json)
        return
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


def _story(stacks: tuple[str, ...], digest: str, *, as_json: bool) -> None:
    from ml.release.releases import as_text, story

    told = [entry for stack in stacks for entry in story(Stage.load(stack), digest)]
    if not told:
        raise InputRefused(f"No ledger of {', '.join(stacks)} knows {digest}. `mlops releases` names what they know.")
    if as_json:
        click.echo(json.dumps([entry.model_dump(mode="json") for entry in told], indent=2))
        return
    for entry in told:
        click.echo(as_text(entry))


@click.command(epilog="Example: mlops verify --stack local-dev --stack local-test --stack local-prod")
@_stacks
@click.option("--offline", is_flag=True, help="Don't ask the endpoints what they serve.")
@_json
def verify(stacks: tuple[str, ...], offline: bool, as_json: bool) -> None:
    """Verify every chain link, digest and signature of ledgers and releases, and what the stacks' endpoints serve.

    Exit code 1 when anything doesn't hold, or an endpoint can't be asked.
    """
    from ml.release.audit import audit

    findings = audit(*map(Stage.load, dict.fromkeys(stacks)), asks=not offline)
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


def _require_reason(reason: str) -> None:
    if len(reason.strip()) < SHORTEST_REASON:
        raise InputRefused(f"{reason!r} gives no reason that somebody could understand later. Say it in a sentence.")


def _waiving(reason: str | None, until: datetime | None) -> tuple[str, date] | None:
    """Why and until when code that no commit holds is let pass; a waiver without a reason or an end is none."""
    if (reason is None) != (until is None):
        raise InputRefused("--waive-modified-code REASON and --until DATE go together: a waiver has a reason and ends.")
    if reason is None or until is None:
        return None
    _require_reason(reason)
    today = datetime.now(UTC).date()
    if not today <= until.date() <= today + timedelta(days=LONGEST_WAIVER_DAYS):
        raise InputRefused(
            f"--until is {until:%Y-%m-%d}; a waiver ends between today and {LONGEST_WAIVER_DAYS} days from now."
        )
    return reason.strip(), until.date()


def _progress() -> Callable[[str], None]:
    started = time.monotonic()
    return lambda line: click.echo(f"{time.monotonic() - started:5.1f} s  {line}", err=True)
