"""JSON Web Tokens of an identity provider: signed by one of its published keys, for this server, and not expired."""

import logging
import threading
import urllib.request
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

import jwt

from ml.access.settings import NotLetIn, TokenSettings
from ml.errors import InputRefused

__all__ = ["ALGORITHMS", "Tokens"]

# Signatures by a private key alone: with a shared secret among them, a published key could be taken for that secret.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
REFRESH_S: Final = 300.0
RETRY_S: Final = 5.0
SOONEST_S: Final = 30.0  # an unknown key's name must not make us ask the provider as often as somebody likes
LEEWAY_S: Final = 30
FETCH_TIMEOUT_S: Final = 10.0
MAXIMUM_BYTES: Final = 1024 * 1024
MAXIMUM_TOKEN: Final = 8 * 1024
DATES: Final = ("exp", "nbf", "iat")
LATEST_S: Final = 253_402_300_799  # the end of the year 9999
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

log = logging.getLogger(__name__)


class Tokens:
    """Checks tokens; the keys of a URL are fetched again from time to time, in a thread."""

    def __init__(self, settings: TokenSettings) -> None:
        if unknown := set(settings.algorithms) - set(ALGORITHMS):
            raise InputRefused(f"{', '.join(sorted(unknown))} can't be used for tokens: take {', '.join(ALGORITHMS)}.")
        self._settings = settings
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._wanted = threading.Event()
        self._ended = threading.Event()
        url = urlsplit(settings.jwks)
        if url.scheme in ("", "file"):
            self._keys = _read(Path(url.path).read_bytes, settings.jwks)
            return
        if url.scheme != "https" and url.hostname not in LOOPBACK:
            raise InputRefused(f"{settings.jwks} is not https: whoever is between could choose the keys.")
        self._fetch()
        threading.Thread(target=self._keep, name="jwks", daemon=True).start()

    def subject(self, token: str) -> str:
        """Whom a token is about; NotLetIn when it doesn't count."""
        if len(token) > MAXIMUM_TOKEN:
            raise NotLetIn("token_malformed")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key(jwt.get_unverified_header(token).get("kid")),
                algorithms=list(self._settings.algorithms),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            if not all(_is_date(claims[name]) for name in DATES if name in claims):
                raise NotLetIn("token_malformed")
        except NotLetIn:
            raise
        except Exception as error:  # the library lets through what nesting and huge numbers do to a JSON parser
            raise NotLetIn(_reason(error)) from error
        return str(claims["sub"])

    def close(self) -> None:
        """Fetch no more."""
        self._ended.set()
        self._wanted.set()

    def _key(self, name: object) -> jwt.PyJWK:
        if name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        key = self._keys.get(name) if isinstance(name, str) else None
        if key is None:
            self._wanted.set()
            raise NotLetIn("token_key_unknown")
        return key

    def _keep(self) -> None:
        while not self._ended.wait(SOONEST_S if self._keys else RETRY_S):
            self._wanted.wait(REFRESH_S - SOONEST_S if self._keys else 0)
            self._wanted.clear()
            if not self._ended.is_set():
                self._fetch()

    def _fetch(self) -> None:
        try:
            self._keys = _read(lambda: _get(self._settings.jwks), self._settings.jwks)
        except InputRefused as error:
            log.error("The keys of tokens stay as they were: %s", error)


def _is_date(value: object) -> bool:
    """Whether a claim is seconds since 1970, up to a year that a calendar has: the library takes any text or number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LATEST_S


def _reason(error: Exception) -> str:
    if isinstance(error, jwt.ExpiredSignatureError):
        return "token_expired"
    is_foreign = isinstance(error, jwt.InvalidAudienceError | jwt.InvalidIssuerError)
    return "token_foreign" if is_foreign else "token_invalid"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> None:
        """Nowhere else: the URL that was configured is the one that is trusted."""


def _get(url: str) -> bytes:
    with urllib.request.build_opener(_NoRedirect).open(url, timeout=FETCH_TIMEOUT_S) as response:
        return response.read(MAXIMUM_BYTES)


def _read(read: Any, where: str) -> dict[str | None, jwt.PyJWK]:
    """Public keys by their names; a set with a shared secret in it is refused, as it should never be published."""
    try:
        keys = jwt.PyJWKSet.from_json(read().decode()).keys
    except (OSError, ValueError, AttributeError, jwt.PyJWTError) as error:
        raise InputRefused(f"{where} can't be read as a JSON Web Key Set: {error}") from error
    usable = {key.key_id: key for key in keys if key.key_type != "oct" and key.public_key_use in (None, "sig")}
    if not usable:
        raise InputRefused(f"{where} has no public key that signs.")
    return usable
