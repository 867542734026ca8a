"""Of secrets, an account keeps a hash: enough to see whether one has changed."""

import hashlib
from typing import Any

import msgspec

from infra.simulation.account import Thing

__all__ = ["masked", "unmasked"]

SECRET_HASH = "sha256-of-secret:"  # noqa: S105 # a mark, not a secret


def masked(thing: Thing) -> Thing:
    """The thing as it may be written to disk: of secrets only a hash."""

    def mask(properties: dict[str, Any]) -> dict[str, Any]:
        return {key: _hash(value) if key in thing.secrets else value for key, value in properties.items()}

    masked = {name: mask(getattr(thing, name)) for name in ("inputs", "outputs", "returned")}
    return msgspec.structs.replace(thing, **masked)


def unmasked(key: str, value: Any, known: dict[str, Any]) -> Any:
    """A secret as the engine knows it, when that is still the one that is there."""
    return known[key] if key in known and value == _hash(known[key]) else value


def _hash(value: Any) -> str:
    return SECRET_HASH + hashlib.sha256(repr(value).encode()).hexdigest()
