"""Whom a request asks for. What listens on this machine alone answers to this machine's names alone.

A page in a browser can give the address 127.0.0.1 a name of its own (DNS rebinding), and can send requests there from
any site. The first shows in `Host`, the second in `Origin`.
"""

import ipaddress
import re
from collections.abc import Collection
from typing import Any, Final

from ml.http.answers import Receive, Response, Scope, Send, json_response, send_response
from ml.http.front import OBSERVE, Quick, Reply

__all__ = ["OwnNames", "names_of", "only_for"]

THIS_MACHINE: Final = ("localhost", "127.0.0.1", "[::1]")
ANY: Final = "*"
NAME: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@]+?)\.?(?::[0-9]*)?")
ORIGIN: Final = re.compile(rb"[a-z][a-z0-9+.-]*://(.*)", re.IGNORECASE)


def names_of(address: str, allowed: Collection[str]) -> frozenset[str] | None:
    """The names that a server answers to, None for any: as `allowed` says, else by the address it listens on."""
    if ANY in allowed:
        return None
    if allowed:
        return frozenset(name.lower() for name in allowed)
    if not ipaddress.ip_address(address).is_loopback:
        return None
    return frozenset([*THIS_MACHINE, f"[{address}]" if ":" in address else address])


def only_for(app: Any, names: frozenset[str] | None) -> Any:
    """The application, behind a check of its names where it has any."""
    return app if names is None else OwnNames(app, names)


class OwnNames:
    """An ASGI application that answers 403 to requests for other names, and hands on the others."""

    def __init__(self, app: Any, names: frozenset[str]) -> None:
        self._app = app
        self._names = names
        self._quick: Quick | None = getattr(app, "quick", None)

    def quick(self, scope: Scope, body: bytes, reply: Reply) -> bool:
        """See ml.http.front."""
        return self._quick is not None and self._is_meant(scope) and self._quick(scope, body, reply)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] != "http" or self._is_meant(scope):
            await self._app(scope, receive, send)
            return
        observe = scope.get("state", {}).get(OBSERVE)
        if observe is not None:
            observe(403)
        await send_response(send, self._refusal(), with_body=scope["method"] != "HEAD")

    def _is_meant(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            if name == b"host":
                if not self._is_own(value):
                    return False
            elif name == b"origin" and not ((found := ORIGIN.fullmatch(value)) and self._is_own(found[1])):
                return False
        return True

    def _is_own(self, host: bytes) -> bool:
        found = NAME.fullmatch(host)
        return found is not None and found[1].decode("latin-1").lower() in self._names

    def _refusal(self) -> Response:
        names = ", ".join(sorted(self._names))
        said = f"This server answers to {names} alone, for pages from there. --allowed-host names others."
        return json_response(403, {"error": said})
