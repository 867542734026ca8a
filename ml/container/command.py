"""The image's one command: `serve`, `train` and `lambda` as platforms start it, `health`, and all of `mlops`."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Final

from ml.cli import main as mlops
from ml.container.placement import place, port
from ml.edge import sentences
from ml.errors import MlopsError

__all__ = ["main"]

HEALTH_TIMEOUT_S: Final = 4.0
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 # inside a container; the platform says who gets there


def main() -> None:
    """Run what the container was started with; `serve` when that is nothing."""
    name, *words = sys.argv[1:] or ["serve"]
    command = COMMANDS.get(name, mlops)
    if command is not mlops:
        sys.argv[1:] = words
    with sentences(name):
        command()


def _serve() -> None:
    """Serve the release that the platform handed over; what `mlops serve` is told by options or variables wins."""
    from ml.serving.command import serve

    defaults = {"host": EVERYWHERE, "port": port(os.environ)}
    if not any(word.startswith(("-h", "--help", "--deployment")) for word in sys.argv[1:]):
        defaults |= place(os.environ).options()
    serve.main(prog_name="serve", default_map=defaults)


def _train() -> None:
    """Train as a job of SageMaker or Batch where this is one, else as `mlops train`."""
    from ml.container.sagemaker import folders, is_job, run_job

    job = folders(os.environ)
    if is_job(job):
        sys.exit(run_job(job, os.environ))
    from ml.container import batch

    if batch.is_job() and not sys.argv[1:]:
        batch.run_job()
        return
    sys.argv.insert(1, "train")
    mlops()


def _lambda() -> None:
    """Answer the events of an AWS Lambda function: `watch` is the monitor, without it a release is served.

    The release is loaded before the first event.
    """
    from awslambdaric.__main__ import main as runtime

    if sys.argv[1:] == ["watch"]:
        from ml.container.aws_watch import handler
    else:
        from ml.container.aws_lambda import function, handler

        function()
    runtime([sys.argv[0], f"{handler.__module__}.{handler.__name__}"])


def _health() -> None:
    """Exit with 0 when the server of this container answers."""
    url = f"http://127.0.0.1:{os.environ.get('MLOPS_SERVE_PORT') or port(os.environ)}/health"
    try:
        with urllib.request.urlopen(url, timeout=HEALTH_TIMEOUT_S):  # this container's own server
            return
    except (OSError, urllib.error.URLError) as error:
        raise MlopsError(f"{url} does not answer: {error}") from error


COMMANDS: Final[dict[str, Callable[[], None]]] = {
    "serve": _serve,
    "train": _train,
    "lambda": _lambda,
    "health": _health,
}
