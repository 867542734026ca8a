"""Who is signed in: a signed cookie, a token against forged forms, and a brake on guessing."""

import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ml.feedback.accounts import Accounts

__all__ = ["MAXIMUM_AGE_S", "Brake", "Ended", "SignedOut", "csrf_token", "current_user", "form", "read_body", "sign_in"]

MAXIMUM_AGE_S: Final = 12 * 3600
FORM_BYTES: Final = 64 * 1024
FORM_FIELDS: Final = 20


class SignedOut(Exception):
    """Nobody is signed in, or no longer."""


class Brake:
    """At most `failures` wrong passwords of a name within `window_s`; so many names are remembered as fit `names`."""

    def __init__(self, failures: int = 5, window_s: float = 300, names: int = 10_000) -> None:
        self._failures, self._window_s, self._names = failures, window_s, names
        self._failed: dict[str, deque[float]] = {}

    def holds(self, name: str) -> bool:
        """Whether the name has to wait."""
        failed = self._failed.get(name, deque())
        while failed and failed[0] < time.monotonic() - self._window_s:
            failed.popleft()
        return len(failed) >= self._failures

    def failed(self, name: str) -> None:
        """Count a wrong password."""
        self._failed.setdefault(name, deque(maxlen=self._failures)).append(time.monotonic())
        while len(self._failed) > self._names:
            del self._failed[next(iter(self._failed))]

    def succeeded(self, name: str) -> None:
        """Forget the wrong ones."""
        self._failed.pop(name, None)


class Ended:
    """Sessions that were signed out of, so that a copy of their cookie is none; a restart of the page forgets them."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def end(self, request: Request) -> None:
        """End the session of a request."""
        now = time.monotonic()
        self._until = {token: until for token, until in self._until.items() if until > now}
        self._until[csrf_token(request)] = now + MAXIMUM_AGE_S
        request.session.clear()

    def holds(self, request: Request) -> bool:
        """Whether it was ended."""
        return request.session.get("csrf") in self._until


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body; 413 for one that is larger, before all of it is read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise HTTPException(413, f"At most {limit_bytes:,} bytes are taken at a time.")
    return bytes(body)


async def form(request: Request) -> Mapping[str, str]:
    """The fields of a form that was sent from this site's own page; 403 for another, 400 for what is no form."""
    try:
        text = (await read_body(request, FORM_BYTES)).decode("ascii")
        fields = dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS))
    except ValueError as error:
        raise HTTPException(400, "That is no form of this page.") from error
    expected = str(request.session.get("csrf", ""))
    if not expected or not hmac.compare_digest(expected.encode(), fields.get("csrf", "").encode()):
        raise HTTPException(403, "The form is from an earlier session or another site. Go back, reload, and try again.")
    return fields


def csrf_token(request: Request) -> str:
    """The token that this session's forms carry."""
    return request.session.setdefault("csrf", secrets.token_urlsafe(32))


def sign_in(request: Request, name: str, stamp: str) -> None:
    """Begin a session of its own: nothing of the one before, its token neither, goes on."""
    request.session.clear()
    request.session.update(user=name, stamp=stamp, since=int(time.time()))
    csrf_token(request)


async def current_user(request: Request, accounts: Accounts, clock: Callable[[], float] = time.time) -> str:
    """Who is signed in; SignedOut after 12 hours, without an account, or when its password was changed since."""
    session = request.session
    user, stamp = str(session.get("user", "")), str(session.get("stamp", ""))
    is_fresh = clock() - int(session.get("since", 0)) < MAXIMUM_AGE_S
    known = await run_in_threadpool(accounts.stamp, user) if user and is_fresh else None
    if known is None or not hmac.compare_digest(known, stamp):
        raise SignedOut
    return user
