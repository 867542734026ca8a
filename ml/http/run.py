"""Run an ASGI application as a process: one line a log event, and a graceful end."""

import logging
import resource
import socket
import sys
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvicorn
from prometheus_client import disable_created_metrics

from ml.errors import InputRefused
from ml.http.connection import Connection
from ml.http.front import Front
from ml.http.limits import ConnectionLimits
from ml.http.names import names_of, only_for
from ml.http.places import Places
from ml.http.request_log import JsonFormatter
from ml.http.workers import end_with_parent, supervise
from ml.scratch import scratch_folder

__all__ = ["configure_logging", "run", "run_workers"]

DRAIN_S: Final = 10
BACKLOG: Final = 1024
FILES: Final = 512  # besides connections
HUNG_S: Final = 30  # a worker that says nothing for so long is started again


def run(
    app: Any,
    host: str,
    port: int,
    limits: ConnectionLimits | None = None,
    drain_s: float = DRAIN_S,
    *,
    front: Front = "own",
    allowed_hosts: Collection[str] = (),
    as_json: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT, then let what is under way end within `drain_s`; the address goes to stderr.

    On an address of this machine alone, only its names are answered to, unless `allowed_hosts` says which are.

    InputRefused where the port can't be had.
    """
    configure_logging(as_json=as_json)
    listener = _listen(host, port)
    names = names_of(listener.getsockname()[0], allowed_hosts)
    config = _config(only_for(app, names), limits or ConnectionLimits(), drain_s, front)
    uvicorn.Server(config).run(sockets=[listener])


def run_workers(
    make: Callable[[Path], Any],
    workers: int,
    host: str,
    port: int,
    limits: ConnectionLimits,
    drain_s: float,
    *,
    front: Front = "own",
    allowed_hosts: Collection[str] = (),
    as_json: bool = False,
) -> None:
    """The same with several processes; `make` gives each its application, and the folder by which they talk.

    MlopsError when they die again and again.
    """
    configure_logging(as_json=as_json)
    listener = _listen(host, port)
    names = names_of(listener.getsockname()[0], allowed_hosts)
    with scratch_folder() as folder:  # with a short path: a socket's may have about 100 characters
        config = _config(partial(_worker, make, folder, names, as_json), limits, drain_s, front)
        config.factory, config.workers = True, workers
        supervise(config, listener, folder)


def _worker(make: Callable[[Path], Any], folder: Path, names: frozenset[str] | None, as_json: bool) -> Any:
    configure_logging(as_json=as_json)
    end_with_parent()
    return only_for(make(folder), names)


def _config(app: Any, limits: ConnectionLimits, drain_s: float, front: Front) -> uvicorn.Config:
    _raise_files(4 * limits.connections + FILES)  # as many spare ones, and those that are being ended
    disable_created_metrics()  # a second series for every counter, which nothing here reads
    own = partial(Connection, limits, Places(limits.connections))
    return uvicorn.Config(
        app,
        http=own if front == "own" else "httptools",  # pyright: ignore[reportArgumentType] # uvicorn only calls it
        loop="ml.http.loop:Loop",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks for the client's address or scheme
        timeout_worker_healthcheck=HUNG_S,
        lifespan="on",
        ws="none",
        timeout_keep_alive=limits.keep_alive_s,  # pyright: ignore[reportArgumentType] # any number of seconds
        timeout_graceful_shutdown=drain_s,  # pyright: ignore[reportArgumentType] # any number of seconds
    )


def _raise_files(wanted: int) -> None:
    """Let this process and its workers have so many files open, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def configure_logging(*, as_json: bool = False) -> None:
    """Log to stderr: a line an event, as text or as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if as_json else text)
    logging.basicConfig(handlers=[handler], level=logging.INFO)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        raise InputRefused(
            f"Can't listen on {host}:{port}: {error.strerror}. Stop what uses it, or take another --port."
        ) from error
    logging.getLogger(__name__).info("Listening on http://%s:%d", host, listener.getsockname()[1])
    return listener
