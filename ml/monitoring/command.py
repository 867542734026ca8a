"""`mlops monitor` and its sub-commands."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ml.http.limits import allowed_host
from ml.release.place_options import place_of, place_options

if TYPE_CHECKING:
    from ml.monitoring.report import Report
    from ml.store import Store

__all__ = ["monitor"]

PREDICTIONS = "predictions"  # ml.predictions.PREFIX, without the libraries that it is read with
_TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S%z"])


@click.group(
    invoke_without_command=True,
    epilog="Example: mlops monitor --store file:///var/lib/mlops/store --endpoint http://127.0.0.1:8080",
)
@click.option("--store", "store_uri", help="URI of the environment's object store.")
@click.option("--endpoint", help="URL of the model server; leave it out while nothing is released.")
@place_options
@click.option("--approvals-required", default=0, type=click.IntRange(0), help="That the stack asks  [default: 0]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8081, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
@click.option(
    "--interval-s", default=5.0, show_default=True, type=click.FloatRange(0.1), help="Seconds between two probes."
)
@click.option(
    "--every-s", default=300.0, show_default=True, type=click.FloatRange(1), help="Seconds between two monitoring runs."
)
@allowed_host
@click.pass_context
def monitor(
    context: click.Context,
    store_uri: str | None,
    endpoint: str | None,
    host: str,
    port: int,
    interval_s: float,
    every_s: float,
    allowed_hosts: tuple[str, ...],
    **place: Any,
) -> None:
    """Watch an endpoint and its live data.

    With --stack and --environment, what serves is compared with what the stack's ledger allows and says.

    Without a sub-command: probe the endpoint and run `monitor run` again and again; the state is a page at /, the
    newest report at /report, every figure as Prometheus metrics at /metrics.
    """
    if context.invoked_subcommand is not None:
        if store_uri or endpoint:
            raise click.UsageError(f"Write the options of {context.invoked_subcommand} behind it.")
        return
    if store_uri is None:
        raise click.UsageError("Missing option '--store': the monitor's process needs the URI of the object store.")
    from ml.http.run import run as serve
    from ml.monitoring.service import Monitor
    from ml.store import Store

    watching = Monitor(endpoint, Store(store_uri), interval_s, every_s, place_of(place))
    serve(watching, host, port, allowed_hosts=allowed_hosts)


@monitor.command("run", epilog="Example: mlops monitor run --stack local-dev --since 2026-01-01")
@click.option("--stack", help="The stack to look at; by default the one that MLOPS_RUNTIME describes.")
@click.option("--store", "store_uri", help="Instead of a stack: URI of its object store.")
@click.option(
    "--since", type=_TIME, metavar="TIME", help="Beginning of the window, UTC  [default: as the problem says]"
)
@click.option("--until", type=_TIME, metavar="TIME", help="End of the window, UTC, not included  [default: now]")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def run(
    stack: str | None, store_uri: str | None, since: datetime | None, until: datetime | None, as_json: bool
) -> None:
    """Look at a window of live traffic once: data quality, drift, performance, fairness.

    The report goes into the store as JSON, page and metrics. An alert is a finding, not a failure: the exit code is 0.
    """
    from ml.runtime import Runtime
    from ml.store import Store

    store = Store(store_uri or Runtime.load(stack).store_uri)
    report = _report(store, _utc(since), _utc(until)) if store.exists(PREDICTIONS) else None
    if as_json:
        click.echo(json.dumps(report.to_builtins() if report else None, indent=2))
    elif report is None:
        click.echo("Nothing was predicted in the window: there is nothing to report.")
    else:
        click.echo(_as_text(report, store.url(f"{report.key}.html")))


@monitor.command("rules", epilog="Example: mlops monitor rules --out alerts.yml")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the file here, not to the output.")
def rules(out: Path | None) -> None:
    """Print Prometheus' alert rules, made from the problem definition's section `monitoring`."""
    from ml.monitoring.rules import alert_rules
    from ml.problem import load_problem

    text = alert_rules(load_problem())
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


def _report(store: "Store", since: datetime | None, until: datetime | None) -> "Report | None":
    from ml.monitoring.run import monitor_once  # seconds of imports: not for an environment that nobody asked yet
    from ml.problem import load_problem

    return monitor_once(store, load_problem(), datetime.now(UTC), since, until, lambda line: click.echo(line, err=True))


def _utc(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _as_text(report: "Report", page: str) -> str:
    found, window = report.champion, report.window
    sections = {name: getattr(found, name) for name in found.alerts}
    verdicts = {
        name: click.style(f"{'alert':<11}", fg="red") if s.alert else f"{'ok' if s.judged else 'not judged':<11}"
        for name, s in sections.items()
    }
    return "\n".join(
        [
            f"{found.model} version {found.version}, {found.release}",
            f"{window.since:%Y-%m-%d %H:%M:%S} to {window.until:%Y-%m-%d %H:%M:%S} UTC: "
            f"{found.rows:,} predictions, {found.labels:,} with a label",
            "",
            *(f"{name:<12} {verdict}  {sections[name].summary}" for name, verdict in verdicts.items()),
            "",
            f"Report       {page}",
        ]
    )
