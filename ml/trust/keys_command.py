"""`mlops keys`."""

import json
from datetime import UTC, datetime
from typing import Any

import click

from ml.errors import InputRefused
from ml.store import Store
from ml.trust.checkout import project_root
from ml.trust.keys import TrustedKeys, new_key, personal_folder, shared_folder
from ml.trust.people import current_name
from ml.trust.revocation import revoke as write_revocation

__all__ = ["keys"]


@click.group()
def keys() -> None:
    """Keys that sign releases, approvals and every entry of a ledger.

    Private keys stay in this user's configuration folder. Public keys in the checkout's keys/ count for every
    environment, once they are committed; those of this user count for the stores on this machine.

    Example: mlops keys list
    """


@keys.command(epilog="Example: mlops keys new ada@example.org")
@click.argument("name", required=False)
@click.option("--local", "is_local", is_flag=True, help="For the stores on this machine only; nothing is put in keys/.")
@click.option("--machine", "is_machine", is_flag=True, help="A key for CI: it signs releases and approves none.")
def new(name: str | None, is_local: bool, is_machine: bool) -> None:
    """Make a key pair for NAME, by default this user; MLOPS_KEY_PASSPHRASE, where it is set, locks the private key."""
    share_in = None if is_local else project_root() / "keys"
    made = new_key(name or current_name(), share_in, is_machine=is_machine)
    click.echo(f"Private   {made.file}")
    if share_in:
        click.echo(
            f"Public    {share_in / f'{made.name}.pub'}\nNext      commit it: a reviewed keys/ is who may release"
        )
    else:
        click.echo(f"Public    {made.file.with_suffix('.pub')}")


@keys.command(epilog='Example: mlops keys revoke ada@example.org --reason "laptop stolen" --since 2026-11-20')
@click.argument("name")
@click.option("--reason", required=True, help="Why its signatures no longer count.")
@click.option("--since", type=click.DateTime(), help="UTC; from then on, if the key was lost earlier  [default: now]")
def revoke(name: str, reason: str, since: datetime | None) -> None:
    """What NAME's key signs from now on, or since a moment in the past, counts no more; what it signed before does.

    A release that it signed may go on where a ledger knew it before that moment.
    """
    folders = (shared_folder(), personal_folder())
    file = next((file for folder in folders if folder and (file := folder / f"{name}.pub").is_file()), None)
    if file is None:
        raise InputRefused(f"There is no key of {name}. `mlops keys list` names those that count.")
    now = datetime.now(UTC)
    at = since.replace(tzinfo=UTC) if since else now
    if at > now:
        raise InputRefused(f"{at:%Y-%m-%d %H:%M} UTC is still to come. A key is revoked now, or since the past.")
    if len(reason.strip()) < 5:
        raise InputRefused(f"{reason!r} gives no reason that somebody could understand later.")
    written = write_revocation(file, at, reason.strip())
    click.echo(f"Revoked   {name}, since {at:%Y-%m-%d %H:%M} UTC\nWritten   {written}")
    if file.parent != personal_folder():
        click.echo("Next      commit it: until then it counts in this checkout only")


@keys.command("list", epilog="Example: mlops keys list --json")
@click.option("--json", "as_json", is_flag=True, help="Print the keys as JSON.")
def list_keys(as_json: bool) -> None:
    """Whose signatures count, where, and which private keys this user has."""
    rows: list[dict[str, Any]] = [
        {
            "name": key.name,
            "counts_for": "every store" if key.origin == "organisation" else "stores on this machine",
            "is_machine": key.is_machine,
            "revoked": key.revoked.model_dump(mode="json") if key.revoked else None,
            "has_private": (personal_folder() / f"{key.name}.key").exists(),
            "fingerprint": key.fingerprint,
        }
        for key in TrustedKeys.of(Store(personal_folder().as_uri()))
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo(f"There are no keys in {shared_folder()} and {personal_folder()}. Make one with `mlops keys new`.")
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        private = "private key here" if row["has_private"] else "-"
        if row["is_machine"]:
            private = f"{private}, a machine's: approves nothing"
        if row["revoked"]:
            private = f"revoked on {row['revoked']['at'][:10]}: {row['revoked']['reason']}"
        click.echo(f"{row['name']:<{width}}  {row['fingerprint'][:16]}…  {row['counts_for']:<22}  {private}")
