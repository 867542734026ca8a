"""Logical and physical names and tags: pure functions, the only place where names are made."""

import hashlib
import re

from infra.config import StackConfig

__all__ = ["logical", "physical", "tags"]

PROJECT = "mlops"
HASH_LENGTH = 6


def logical(name: str, role: str) -> str:
    """The engine's name of a component's child: never an environment, a region or a physical name."""
    return f"{name}-{role}"


def physical(stack: str, role: str, *, maximum_length: int, separator: str = "-", unique_in: str = "") -> str:
    """The name of a real thing: deterministic, lower-case letters, digits and the separator, no longer than allowed.

    `unique_in` distinguishes equal stacks in a namespace that others share (an account's number, a folder). A name
    that had to be shortened, or that lives in a shared namespace, ends in a hash of everything it stands for.
    ValueError when there is no room for a name that means anything.
    """
    if maximum_length < HASH_LENGTH + 4:
        raise ValueError(f"{maximum_length} characters are too few for a name; give at least {HASH_LENGTH + 4}.")
    words = [word for part in (PROJECT, stack, role) for word in re.split(r"[^a-z0-9]+", part.lower()) if word]
    whole = separator.join(words)
    if len(whole) <= maximum_length and not unique_in:
        return whole
    digest = hashlib.sha256("\0".join((PROJECT, stack, role, unique_in)).encode()).hexdigest()[:HASH_LENGTH]
    kept = whole[: maximum_length - HASH_LENGTH - len(separator)]
    return f"{kept.rstrip(separator) if separator else kept}{separator}{digest}"


def tags(config: StackConfig) -> dict[str, str]:
    """What every resource that can be tagged carries."""
    return {
        "project": PROJECT,
        "stack": config.stack,
        "environment": config.environment.name,
        "owner": config.owner,
        "cost-centre": config.cost_centre,
        "data-class": config.data_class,
    }
