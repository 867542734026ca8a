"""The image's one command: `serve`, `train` and what else platforms start it with, `health`, and all of `mlops`."""

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
from ml.platform import platforms

__all__ = ["main"]

HEALTH_TIMEOUT_S: Final = 4.0
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 # inside a container; the platform says who gets there


def main() -> None:
    """Run what the container was started with; `serve` when that is nothing."""
    name, *words = sys.argv[1:] or ["serve"]
    command = COMMANDS.get(name) or _of_a_platform(name) or mlops
    if command is not mlops:
        sys.argv[1:] = words
    with sentences(name):
        command()


def _of_a_platform(name: str) -> Callable[[], None] | None:
    return next((found for each in platforms().values() if (found := each.commands().get(name))), None)


def _serve() -> None:
    """Serve the release that the platform handed over; what `mlops serve` is told by options or variables wins."""
    from ml.serving.command import serve

    defaults = {"host": EVERYWHERE, "port": port(os.environ)}
    if not any(word.startswith(("-h", "--help", "--deployment")) for word in sys.argv[1:]):
        defaults |= place(os.environ).options()
    serve.main(prog_name="serve", default_map=defaults)


def _train() -> None:
    """Train as the job of a platform where this is one, else as `mlops train`."""
    if not sys.argv[1:]:
        for platform in platforms().values():
            if run := platform.training_here(os.environ):
                sys.exit(run())
    sys.argv.insert(1, "train")
    mlops()


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
    "health": _health,
}
