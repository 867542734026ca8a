"""`mlops monitor`."""

import click

__all__ = ["monitor"]


@click.command(epilog="Example: mlops monitor --store file:///var/lib/mlops/store --endpoint http://127.0.0.1:8080")
@click.option("--store", "store_uri", required=True, help="URI of the environment's object store.")
@click.option("--endpoint", help="URL of the model server; leave it out while nothing is released.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8081, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
@click.option(
    "--interval-s", default=5.0, show_default=True, type=click.FloatRange(0.1), help="Seconds between two probes."
)
def monitor(store_uri: str, endpoint: str | None, host: str, port: int, interval_s: float) -> None:
    """Watch an endpoint: probe it, show its state as a page at /, and as Prometheus metrics at /metrics."""
    from ml.monitoring.service import Monitor
    from ml.serving.run import run
    from ml.store import Store

    run(Monitor(endpoint, Store(store_uri), interval_s), host, port)
