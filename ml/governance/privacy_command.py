"""`mlops erase`, `mlops subject-export` and `mlops retention`."""

import json
import os
import sys
from datetime import UTC, datetime, time
from pathlib import Path

import click

from ml.errors import InputRefused
from ml.problem import load_problem
from ml.release.stage import ledger_of
from ml.runtime import Runtime
from ml.store import Store
from ml.trust.keys import Signer, signer
from ml.trust.ledger import Ledger

__all__ = ["erase", "retention", "subject_export"]

_stack = click.option("--stack", help="The stack; by default the one that MLOPS_RUNTIME describes.")
_subject = click.option(
    "--subject", required=True, help="The person, as requests name them; `-` reads it from standard input."
)
_sign_as = click.option("--as", "name", help="Whose key signs  [default: MLOPS_SIGN_AS, git's user.email, the account]")
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.command(epilog="Example: mlops erase --stack local-dev --subject customer-4711")
@_stack
@_subject
@_sign_as
@_json
def erase(stack: str | None, subject: str, name: str | None, as_json: bool) -> None:
    """Remove a person's records from the prediction log, labels, queue and decisions, and prove it.

    The ledger says that an erasure happened and how much it removed, not whose. An erasure that was cut short is
    completed by running it again.
    """
    from ml.governance.privacy import erase as run

    store, ledger, me = _place(Runtime.load(stack), name)
    done = run(store, ledger, me, _named(subject), datetime.now(UTC), lambda line: click.echo(line, err=True))
    if as_json:
        click.echo(done.model_dump_json(indent=2))
        return
    for area, rows in done.removed.items():
        click.echo(f"{area.replace('_', ' '):<17} {rows:>9,} removed")
    searched = f"{done.searched_rows:,} rows and records of {done.searched_objects:,} objects"
    click.echo(f"\nFound again  {done.remaining} in {searched}")
    click.echo(f"Ledger       entry {done.ledger_entry}, request {done.request}")
    click.echo(f"On its way   what a server logged before {done.until:%Y-%m-%d %H:%M} UTC is dropped on its way here")


@click.command("subject-export", epilog="Example: mlops subject-export --stack local-dev --subject customer-4711")
@_stack
@_subject
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write here, readable by you alone.")
def subject_export(stack: str | None, subject: str, out: Path | None) -> None:
    """Write everything held on a person as JSON, with what columns and codes mean."""
    from ml.governance.privacy import subject_export as run

    held = run(Store(Runtime.load(stack).store_uri), load_problem(), _named(subject))
    text = json.dumps(held, indent=2, default=_as_json, ensure_ascii=False)
    if out is None:
        click.echo(text)
        return
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise InputRefused(f"The export {out} can't be written: {error.strerror}.") from error
    click.echo(f"{sum(len(rows) for rows in held['records'].values()):,} records in {out}")


@click.command(epilog="Example: mlops retention --stack local-dev --days 90")
@_stack
@click.option("--days", type=click.IntRange(1), help="Days to keep  [default: the environment's]")
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
@_sign_as
@_json
def retention(stack: str | None, days: int | None, dry_run: bool, name: str | None, as_json: bool) -> None:
    """Delete predictions, labels, cases and decisions of days that are older than the environment keeps.

    Also removes what arrived late of people who were erased. Run it once a day.
    """
    from ml.governance.privacy import erase_late
    from ml.governance.retention import first_kept_day, retain

    runtime = Runtime.load(stack)
    kept = days or runtime.log_retention_days
    if kept is None:
        raise InputRefused("The stack doesn't say how long it keeps its logs: pass --days, or run `pulumi up` first.")
    first = first_kept_day(datetime.now(UTC), kept)
    deleted, late = retain(Store(runtime.store_uri), first, dry_run=dry_run), 0
    if not dry_run:
        store, ledger, me = _place(runtime, name)
        forget_before = datetime.combine(first, time(), UTC)
        late = erase_late(store, ledger, me, forget_before, lambda line: click.echo(line, err=True))
    if as_json:
        result = {"first_kept_day": first.isoformat(), "deleted_objects": deleted, "late_rows": late}
        click.echo(json.dumps(result | {"is_dry_run": dry_run}))
        return
    for area, objects in deleted.items():
        click.echo(f"{area:<17} {objects:>7,} objects {'would be ' if dry_run else ''}deleted")
    click.echo(f"Kept from {first} on, {kept} days; {late:,} late records of people who were erased removed")


def _place(runtime: Runtime, name: str | None) -> tuple[Store, Ledger, Signer]:
    store = Store(runtime.store_uri)
    me = signer(store, name)  # made now, where there is none: the ledger trusts it
    return store, ledger_of(runtime), me


def _named(subject: str) -> str:
    """A name from standard input doesn't show in the list of processes, nor in the shell's history."""
    return sys.stdin.readline().rstrip("\n") if subject == "-" else subject


def _as_json(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
