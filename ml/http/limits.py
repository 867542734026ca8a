"""The limits of a server, and the options of `mlops serve` that set them.

Each option is MLOPS_SERVE_<OPTION> in the environment too, for containers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

import click

from ml.errors import InputRefused

__all__ = ["ENVIRONMENT", "ConnectionLimits", "allowed_host", "connection_limits", "limit_options", "request_limits"]

ENVIRONMENT: Final = "MLOPS_SERVE"

F = TypeVar("F", bound=Callable[..., Any])

LIMITS: Final = (
    ("maximum-rows", 10_000, click.IntRange(1), "Rows in one request."),
    ("maximum-body-bytes", 4 * 1024 * 1024, click.IntRange(1), "Size of one request's body."),
    ("maximum-held-bytes", 64 * 1024 * 1024, click.IntRange(1), "Size of all bodies at once; past it, 429."),
    ("maximum-waiting", 256, click.IntRange(1), "Requests that are scored or wait for it; past it, 429."),
    ("answer-timeout-s", 30.0, click.FloatRange(0.1, 3600), "Time for a request to be scored, its waiting included."),
    ("maximum-head-bytes", 16 * 1024, click.IntRange(256), "Size of one request's line and headers."),
    ("maximum-connections", 512, click.IntRange(1), "Connections at once, for each worker."),
    ("head-timeout-s", 10.0, click.FloatRange(0.1, 3600), "Time for the head of a request to arrive."),
    ("body-timeout-s", 20.0, click.FloatRange(0.1, 3600), "Time for its body to arrive."),
    ("write-timeout-s", 30.0, click.FloatRange(0.1, 3600), "Time for a client to take its answer."),
    (
        "keep-alive-s",
        75.0,
        click.FloatRange(0, 3600),
        "How long an idle connection is kept; longer than the load balancer's own time.",
    ),
    (
        "drain-s",
        10.0,
        click.FloatRange(0, 3600),
        "After SIGTERM, how long requests under way have to be finished.",
    ),
)

REQUEST_LIMITS: Final = (
    "maximum_rows",
    "maximum_body_bytes",
    "maximum_held_bytes",
    "maximum_waiting",
    "body_timeout_s",
    "answer_timeout_s",
)


@dataclass(frozen=True)
class ConnectionLimits:
    """What one client may take; past it, it is refused and its connection closed."""

    connections: int = 512
    head_bytes: int = 16 * 1024
    head_timeout_s: float = 10.0
    write_timeout_s: float = 30.0
    keep_alive_s: float = 75.0  # longer than a load balancer's idle time, or it meets connections that are just closing


def allowed_host(command: F) -> F:
    """Give a command the option that says to which names its server answers."""
    text = (
        "A name that this server answers to, like that of a proxy before it; may be repeated, * is any  [default: "
        "on a loopback address localhost, 127.0.0.1 and [::1], elsewhere any]"
    )
    return click.option("--allowed-host", "allowed_hosts", multiple=True, metavar="NAME", help=text)(command)


def limit_options(command: F) -> F:
    """Give a command an option for every limit."""
    for name, default, kind, text in reversed(LIMITS):
        command = click.option(f"--{name}", default=default, show_default=True, type=kind, help=text)(command)
    return command


def request_limits(given: Mapping[str, Any]) -> dict[str, Any]:
    """What of the options is about requests, as `Settings` names it; InputRefused where no body would find room."""
    if given["maximum_held_bytes"] < given["maximum_body_bytes"]:
        raise InputRefused("--maximum-held-bytes is less than --maximum-body-bytes: no such body would find room.")
    return {name: given[name] for name in REQUEST_LIMITS}


def connection_limits(given: Mapping[str, Any]) -> ConnectionLimits:
    """What of the options is about connections."""
    options = {name.removeprefix("maximum_"): value for name, value in given.items()}
    return ConnectionLimits(**{field.name: options[field.name] for field in fields(ConnectionLimits)})
