"""`mlops serve-keys`: the API keys of a model server."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from ml.access.keys import ApiKey, add_key, read_keys, revoke_key

__all__ = ["serve_keys"]

_file = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file of names and hashes that `mlops serve --api-keys` reads.",
)


@click.group("serve-keys")
def serve_keys() -> None:
    """API keys for a model server that no platform protects.

    The file holds names and hashes; a key itself is shown once. Several are valid at once: to rotate one, add another,
    hand it out, and revoke the old one. A running server sees a change within a second.

    Example: mlops serve-keys add shop --file serve-keys.json
    """


@serve_keys.command(epilog="Example: mlops serve-keys add shop-2027 --file serve-keys.json --expires-days 365")
@click.argument("name")
@_file
@click.option("--expires-days", type=click.IntRange(1, 36500), help="After how many days it ends [default: never].")
def add(name: str, file: Path, expires_days: int | None) -> None:
    """Make a key for NAME and print it: alone on standard output, this once."""
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=expires_days) if expires_days else None
    click.echo(add_key(file, name, expires_at))
    click.echo(f"This is the key of {name}; only its hash is kept, in {file}.", err=True)


@serve_keys.command("list", epilog="Example: mlops serve-keys list --file serve-keys.json --json")
@_file
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_(file: Path, as_json: bool) -> None:
    """Print whose keys there are."""
    keys = read_keys(file)
    if as_json:
        click.echo(
            json.dumps([{"name": k.name, "created_at": _text(k.created_at), "expires_at": _end(k)} for k in keys])
        )
        return
    for key in keys:
        end = _end(key)
        click.echo(f"{key.name:<24} made {_text(key.created_at)}  {f'ends {end}' if end else 'never ends'}")
    if not keys:
        click.echo(f"{file} holds no key: a server with it refuses everybody.")


@serve_keys.command(epilog="Example: mlops serve-keys revoke shop --file serve-keys.json")
@click.argument("name")
@_file
def revoke(name: str, file: Path) -> None:
    """Take NAME's key out of use."""
    revoke_key(file, name)
    click.echo(f"The key of {name} is revoked.")


def _text(at: datetime) -> str:
    return at.isoformat()


def _end(key: ApiKey) -> str | None:
    return _text(key.expires_at) if key.expires_at else None
