"""`mlops serve` and `mlops predict`."""

import gc
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ml.access.options import access_options, access_settings
from ml.errors import InputRefused
from ml.http.limits import ENVIRONMENT, allowed_host, connection_limits, limit_options, request_limits
from ml.release.place_options import place_of, place_options
from ml.store import Store

if TYPE_CHECKING:
    from ml.http.front import Front
    from ml.serving.app import Settings

__all__ = ["predict", "serve", "settings_of"]

SHOWN_ROWS: Final = 20
SHOWN_REASONS: Final = 5


@click.command(
    epilog="Example: mlops serve --deployment deployment.json --store file:///var/lib/mlops/store",
    context_settings={"auto_envvar_prefix": ENVIRONMENT},
)
@click.option(
    "--deployment",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help='The file that states the release: {"release": "sha256:…"}.',
)
@click.option("--store", "store_uri", required=True, help="URI of the object store for bundles and the log.")
@click.option("--bundles", "bundles_uri", help="URI of the store to read releases from  [default: --store]")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where releases are kept while they serve [default: beside the deployment file].",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
@click.option(
    "--workers",
    default="1",
    show_default=True,
    help="Processes that answer; auto is one for each processor that this process or its container may use.",
)
@click.option(
    "--http",
    "front",
    type=click.Choice(["own", "uvicorn"]),
    default="own",
    show_default=True,
    help="Who reads HTTP; uvicorn has no limits for heads and connections and needs a proxy in front that has.",
)
@allowed_host
@click.option("--request-log", is_flag=True, help="A line of JSON on standard output for each request.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How the server's own log on standard error is written.",
)
@place_options
@click.option(
    "--approvals-required", default=0, type=click.IntRange(0), help="Approvals that the stack asks  [default: 0]"
)
@limit_options
@access_options
@click.option(
    "--flush-interval-s",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.01, 60),
    help="How often logged predictions are written to disk: a kill loses at most so much.",
)
@click.option(
    "--rotate-interval-s",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0.1, 86_400),
    help="How often they are brought to the store.",
)
@click.option(
    "--maximum-log-mb",
    type=click.IntRange(1),
    help="Megabytes of logged predictions that a folder keeps, the newest  [default: all; see `mlops retention`].",
)
def serve(
    host: str, port: int, workers: str, front: "Front", allowed_hosts: tuple[str, ...], log_format: str, **options: Any
) -> None:
    """Run the model server until it is told to stop; requests under way are finished first."""
    gc.disable()  # nothing of what is imported here is garbage: looking for some is a tenth of the start
    from ml.http.run import run, run_workers
    from ml.http.workers import workers_of
    from ml.serving.app import ModelServer, worker
    from ml.serving.deployment import admin_token

    gc.enable()
    settings, count = settings_of(options), workers_of(workers)
    where = (host, port, connection_limits(options), options["drain_s"])
    if count == 1:
        run(ModelServer(settings), *where, front=front, allowed_hosts=allowed_hosts, as_json=log_format == "json")
        return
    admin_token(settings.deployment)  # before the workers, which would each make one
    run_workers(
        partial(worker, settings), count, *where, front=front, allowed_hosts=allowed_hosts, as_json=log_format == "json"
    )


def settings_of(options: Mapping[str, Any]) -> "Settings":
    """The settings that options of `mlops serve` come to."""
    from ml.serving.app import Settings

    deployment, cache = options["deployment"].absolute(), options["cache"]
    return Settings(
        deployment=deployment,
        store_uri=options["store_uri"],
        bundles_uri=options["bundles_uri"],
        cache=(cache or deployment.parent / "releases").absolute(),
        flush_interval_s=options["flush_interval_s"],
        rotate_interval_s=options["rotate_interval_s"],
        maximum_log_mb=_maximum_log_mb(options),
        **request_limits(options),
        access=access_settings(options),
        place=place_of(options),
        request_log=options["request_log"],
    )


def _maximum_log_mb(options: Mapping[str, Any]) -> int | None:
    limit = options["maximum_log_mb"]
    if limit is not None and not Store(options["store_uri"]).is_folder:
        raise InputRefused("--maximum-log-mb is for a folder; `mlops retention` empties a shared store.")
    return limit


@click.command(epilog="Example: mlops predict --stack local-dev rows.json")
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--stack", required=True, help="The stack whose endpoint is asked, like local-dev.")
@click.option("--explain", is_flag=True, help="Say why each score is what it is.")
@click.option("--json", "as_json", is_flag=True, help="Print the endpoint's answer as it is.")
def predict(file: Any, stack: str, explain: bool, as_json: bool) -> None:
    """Ask a stack's endpoint for predictions of the rows in FILE (`-` for standard input).

    FILE holds one row as a JSON object, a list of rows, or {"rows": [row, ...]}, where "subjects": [name, ...]
    may say whom each row is about. Without FILE, the endpoint's own example row is sent. Where AWS asks for signed
    requests (a function's URL, an endpoint of SageMaker), they are signed with your credentials.
    """
    from ml.endpoint.ask import ask, example
    from ml.runtime import Runtime

    runtime = Runtime.load(stack)
    body = file.read() if file else example(runtime)
    answer = ask(runtime, body, explain=explain)
    click.echo(json.dumps(answer) if as_json else _readable(answer, None if file else body))


def _readable(answer: dict[str, Any], sent: bytes | None) -> str:
    lines = [f"sent      {sent.decode()}"] if sent else []
    lines += [
        f"model     {answer['model']}, version {answer['version']}",
        f"release   {answer['release']}",
        f"request   {answer['request_id']}",
    ]
    predictions: list[dict[str, Any]] = answer["predictions"]
    for number, prediction in enumerate(predictions[:SHOWN_ROWS]):
        meaning = answer["outcomes"][str(prediction["decision"])]
        lines.append(f"row {number:<6}score {prediction['score']:.4f} → {prediction['decision']}: {meaning}")
        lines += [_reason(reason) for reason in prediction.get("reasons", [])[:SHOWN_REASONS]]
    if len(predictions) > SHOWN_ROWS:
        lines.append(f"… and {len(predictions) - SHOWN_ROWS} more rows; --json prints them all.")
    lines.append(f"threshold {answer['threshold']:.4f}")
    if "base_score" in answer:
        lines.append(f"base      {answer['base_score']:.4f}, from which every reason moves the score")
    return "\n".join(lines)


def _reason(reason: dict[str, Any]) -> str:
    value = reason.get("meaning", "missing" if reason["value"] is None else reason["value"])
    return f"          {reason['contribution']:+.4f} {reason['title']}: {value}"
