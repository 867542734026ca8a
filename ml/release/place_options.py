"""The options that name the stack whose ledger decides what may serve."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ml.errors import InputRefused

if TYPE_CHECKING:
    from ml.release.allowed import Place

__all__ = ["place_of", "place_options"]


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add them to a command."""
    environment = click.option("--environment", type=click.Choice(["dev", "test", "prod"]), help="The stack's.")
    stack = click.option("--stack", help="Allow only what this stack's ledger, in the store, lets be deployed.")
    return stack(environment(command))


def place_of(options: Mapping[str, Any]) -> "Place | None":
    """The place that the options name, None where they name none."""
    from ml.release.allowed import Place

    stack, environment = options.get("stack"), options.get("environment")
    if (stack is None) != (environment is None):
        raise InputRefused("--stack and --environment go together: a ledger is that of a stack in its environment.")
    return Place(stack, environment, options.get("approvals_required") or 0) if stack and environment else None
