"""Whether a request may be answered: by a key or a token in its head."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ml.access.keys import PREFIX, ApiKeys
from ml.access.settings import AccessSettings, NotLetIn, TokenSettings
from ml.http.answers import Scope
from ml.model.requests import RequestRefused

if TYPE_CHECKING:
    from ml.access.tokens import Tokens

__all__ = ["PROBES", "Access"]

# What platforms and load balancers ask without a key, and what says nothing but whether a server is there.
PROBES: Final = frozenset({"/", "/health", "/ready", "/ping", "/v2/health/live", "/v2/health/ready"})
METRICS: Final = "/metrics"
RELOAD: Final = "/admin/reload"  # has a token of its own
BEARER: Final = "bearer "
HEADERS: Final = (b"authorization", b"x-api-key")
SAID: Final = (
    "This server answers who it knows. Send a valid key or token as `Authorization: Bearer …`, or a key as `X-API-Key`."
)


class Access:
    """Checks callers; `observe_failure` counts those who are refused, by a reason that names neither key nor token."""

    def __init__(self, settings: AccessSettings, observe_failure: Callable[[str], None]) -> None:
        self._keys = ApiKeys(settings.keys) if settings.keys is not None else None
        self._tokens = _tokens(settings.tokens) if settings.tokens is not None else None
        self._open = PROBES | {RELOAD} | ({METRICS} if settings.open_metrics else set[str]())
        self._observe_failure = observe_failure
        self.is_asked_for = self._keys is not None or self._tokens is not None

    @property
    def schemes(self) -> dict[str, dict[str, str]]:
        """How a caller can say who it is, as OpenAPI has it."""
        bearer = "JWT" if self._keys is None else "API key" if self._tokens is None else "API key or JWT"
        known = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": bearer}}
        key = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}} if self._keys is not None else {}
        return known | key if self.is_asked_for else {}

    def is_open(self, path: str) -> bool:
        """Whether a path is answered to anybody."""
        return not self.is_asked_for or path in self._open

    def caller(self, scope: Scope, path: str) -> str | None:
        """Who asks, None where nobody is asked who they are; RequestRefused for who may not."""
        if self.is_open(path):
            return None
        given = [(name, value.decode("latin-1")) for name, value in scope["headers"] if name in HEADERS]
        if len(given) != 1:
            raise self._refused("missing" if not given else "several")
        name, value = given[0]
        if name == b"authorization":
            if not value[: len(BEARER)].lower() == BEARER:
                raise self._refused("missing")
            value = value[len(BEARER) :].strip()
        if self._keys is not None and (self._tokens is None or name != b"authorization" or value.startswith(PREFIX)):
            return self._holder(self._keys, value)
        if self._tokens is None or name != b"authorization":
            raise self._refused("missing")
        try:
            return self._tokens.subject(value)
        except NotLetIn as refused:
            raise self._refused(str(refused)) from None

    def close(self) -> None:
        """Fetch no keys any more."""
        if self._tokens is not None:
            self._tokens.close()

    def _holder(self, keys: ApiKeys, secret: str) -> str:
        key = keys.find(secret)
        if key is None:
            raise self._refused("key_unknown")
        if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
            raise self._refused("key_expired")
        return key.name

    def _refused(self, reason: str) -> RequestRefused:
        self._observe_failure(reason)
        return RequestRefused(401, SAID)


def _tokens(settings: TokenSettings) -> "Tokens":
    from ml.access.tokens import Tokens  # a library that a server without tokens does without

    return Tokens(settings)
