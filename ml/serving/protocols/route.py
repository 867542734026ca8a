"""Which path belongs to which protocol, and what a protocol is given of a request and of the server."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from ml.http.answers import Receive, Response, Scope, header
from ml.model.requests import RequestRefused
from ml.serving.hosting.call import Call
from ml.serving.hosting.host import ModelHost

__all__ = ["JSON", "Handler", "Refuse", "Request", "Route", "Routes", "Service", "media_type", "require_type"]

JSON: Final = "application/json"
PARAMETER: Final = re.compile(r"\{(\w+)\}")
UTF_8: Final = ("", "utf-8", "utf8", "us-ascii", "ascii")  # ASCII is UTF-8


class Request(NamedTuple):
    """A request before its body was read; `parameters` are the parts of its path that vary."""

    scope: Scope
    receive: Receive
    id: str
    parameters: Mapping[str, str]


Handler = Callable[[Request], Awaitable[Response]]
Refuse = Callable[[RequestRefused, str], Response]


class Service(Protocol):
    """What a protocol needs of the server."""

    @property
    def host(self) -> ModelHost:
        """Which models serve."""
        ...

    async def body(self, request: Request) -> bytes:
        """The whole body; RequestRefused past its limits."""
        ...

    async def answer(self, call: Call, request: Request) -> Response:
        """Score, log and answer; RequestRefused for rows that do not fit, and before a release serves."""
        ...


@dataclass(frozen=True)
class Route:
    """A path, its handlers by method, and the shape in which its protocol refuses; `{name}` stands for one part.

    `call` is what a POST comes to, where it depends on the request's head and body alone, and `state` what a probe
    is answered, where nothing is to be waited for: such requests can be answered without a task of their own.
    """

    path: str
    methods: Mapping[str, Handler]
    refuse: Refuse
    call: Callable[[Scope, bytes], Call] | None = None
    state: Callable[[], Response] | None = None
    pattern: re.Pattern[str] | None = field(init=False)

    def __post_init__(self) -> None:
        parts = PARAMETER.sub(r"(?P<\1>[^/:]+)", self.path)
        object.__setattr__(self, "pattern", re.compile(parts) if parts != self.path else None)


class Routes:
    """The routing table: plain paths by one look-up, the others in their order."""

    def __init__(self, routes: Iterable[Route]) -> None:
        found = list(routes)
        self._plain = {route.path: route for route in found if route.pattern is None}
        self._patterns = [route for route in found if route.pattern is not None]

    @property
    def paths(self) -> list[str]:
        """Every path, as its route states it."""
        return [*self._plain, *(route.path for route in self._patterns)]

    def plain(self, path: str) -> Route | None:
        """The route of a path without parameters."""
        return self._plain.get(path)

    def find(self, path: str) -> tuple[Route | None, Mapping[str, str]]:
        """The route of a path, and what its parameters are."""
        if route := self._plain.get(path):
            return route, {}
        for route in self._patterns:
            if route.pattern and (found := route.pattern.fullmatch(path)):
                return route, found.groupdict()
        return None, {}


def media_type(scope: Scope, default: str) -> str:
    """The body's content type without parameters; RequestRefused for what is not in UTF-8, or is compressed."""
    given = encoding = None
    for name, value in scope["headers"]:
        if name == b"content-type":
            given = given or value.decode("latin-1")
        elif name == b"content-encoding":
            encoding = encoding or value.decode("latin-1")
    if encoding is not None and encoding.strip().lower() not in ("", "identity"):
        raise RequestRefused(415, "The body is compressed. Send it as it is.")
    given = given or default
    if given == JSON:
        return JSON
    kind, *parameters = given.split(";")
    if not all(map(_is_utf_8, parameters)):
        raise RequestRefused(415, f"The content type is {given[:100]!r}. Send text in UTF-8.")
    return kind.strip().lower()


def _is_utf_8(parameter: str) -> bool:
    """Whether a content type's parameter leaves the body in UTF-8; others than charset say what the body says."""
    name, _, value = parameter.partition("=")
    return name.strip().lower() != "charset" or value.strip().strip("\"'").lower().replace("_", "-") in UTF_8


def require_type(scope: Scope, *, default: str = "") -> None:
    """RequestRefused unless the body is JSON in UTF-8."""
    if media_type(scope, default) != JSON:
        given = header(scope, b"content-type") or ""
        raise RequestRefused(415, f"The content type is {given[:100]!r}. Send application/json in UTF-8.")
