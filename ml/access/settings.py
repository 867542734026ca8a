"""Who may ask, as it is configured."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["AccessSettings", "NotLetIn", "TokenSettings"]


class NotLetIn(Exception):
    """Why somebody is refused, in a word for metrics that tells nothing of keys and tokens."""


@dataclass(frozen=True)
class TokenSettings:
    """Whose tokens count: `jwks` is a file or an https URL of the provider's public keys."""

    jwks: str
    audience: str
    issuer: str
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")


@dataclass(frozen=True)
class AccessSettings:
    """Who may ask; with neither keys nor tokens, everybody who reaches the server."""

    keys: Path | None = None
    tokens: TokenSettings | None = None
    open_metrics: bool = False
