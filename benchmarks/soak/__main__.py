"""Mixed good and bad load on one model server, with hot swaps: no 5xx, no wrong digest, flat memory."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks.soak.load import Soak, serve, two_releases

RESULTS = Path(__file__).with_name("results.json")


@click.command(epilog="Example: python -m benchmarks.soak --minutes 10")
@click.option("--minutes", default=10.0, show_default=True, type=click.FloatRange(0.1), help="How long.")
@click.option("--clients", default=8, show_default=True, type=click.IntRange(1), help="Connections with good requests.")
@click.option("--swap-every-s", default=3.0, show_default=True, type=click.FloatRange(0.1), help="Time between swaps.")
@click.option("--workers", default="1", show_default=True, help="Worker processes of the server.")
@click.option("--keep/--no-keep", default=True, show_default=True, help="Write results.json.")
def main(minutes: float, clients: int, swap_every_s: float, workers: str, keep: bool) -> None:
    """Soak one server; exits with 1 when anything was wrong."""
    with two_releases() as (folder, store_uri, releases), serve(folder, store_uri, releases[0], workers) as server:
        soak = Soak(server, folder, releases, clients, swap_every_s)
        click.echo(f"Soaking for {minutes:g} minutes, a swap every {swap_every_s:g} s", err=True)
        report = soak.run(minutes * 60, lambda line: click.echo(line, err=True))
    report |= {"at": datetime.now(UTC).isoformat(timespec="seconds"), "workers": workers}
    click.echo(json.dumps(report, indent=2))
    if keep:
        RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if report["wrong"] else 0)


if __name__ == "__main__":
    main()
