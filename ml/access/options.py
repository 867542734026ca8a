"""The options of `mlops serve` that say who may ask."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ml.access.settings import AccessSettings, TokenSettings
from ml.errors import InputRefused

__all__ = ["access_options", "access_settings"]

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS: Final = (
    click.option(
        "--api-keys",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File of API keys, as `mlops serve-keys` writes it; who asks needs one then.",
    ),
    click.option("--jwt-keys", help="File or https URL of a JSON Web Key Set; who asks needs a token of it then."),
    click.option("--jwt-audience", help="The audience that a token must name."),
    click.option("--jwt-issuer", help="The issuer that a token must name."),
    click.option("--jwt-algorithms", default="RS256,ES256,EdDSA", show_default=True, help="How tokens may be signed."),
    click.option("--open-metrics", is_flag=True, help="Answer /metrics without a key, where who asks needs one."),
)


def access_options(command: F) -> F:
    """Give a command the options about access."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def access_settings(given: Mapping[str, Any]) -> AccessSettings:
    """What the options say; InputRefused where tokens of any audience or issuer would count."""
    tokens = None
    if given["jwt_keys"] is not None:
        if not given["jwt_audience"] or not given["jwt_issuer"]:
            raise InputRefused(
                "--jwt-keys needs --jwt-audience and --jwt-issuer: a token for another server must not count."
            )
        algorithms = tuple(name.strip() for name in given["jwt_algorithms"].split(","))
        tokens = TokenSettings(given["jwt_keys"], given["jwt_audience"], given["jwt_issuer"], algorithms)
    return AccessSettings(given["api_keys"], tokens, given["open_metrics"])
