"""The head of a request: what of it is refused, because two servers could read it in two ways or it asks too much.

RFC 9110 and 9112 say which status is whose.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote

import httptools

__all__ = ["Headers", "Refusal", "Target", "mistake", "refusal_of_error", "target_of", "without_offer"]

VERSIONS: Final = ("1.0", "1.1")
METHODS: Final = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH")
HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|([A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+)(:[0-9]{0,5})?")
LINE: Final = re.compile(rb"(?:^|\n)([!#$%&'*+.^_`|~0-9A-Za-z-]+) [^\x00-\x20\x7f]+ HTTP/1\.[01]\r\n")
TARGET: Final = re.compile(  # origin-form, absolute-form and asterisk-form, without a user or a fragment
    rb"(?:(?i:https?)://(?P<authority>[^/?#@]*)(?P<there>/[^?#]*)?|(?P<here>/[^?#]*|\*))(?:\?(?P<query>[^#]*))?"
)
NO_VERSION: Final = ("Invalid HTTP version", "Pause on PRI/Upgrade")

Headers = list[tuple[bytes, bytes]]


class Refusal(NamedTuple):
    """An answer to what is no request, or not one for this server."""

    status: int
    sentence: str


class Target(NamedTuple):
    """What a request line asks for; `authority` where it names its server itself."""

    path: str
    raw_path: bytes
    query: bytes
    authority: bytes | None


@lru_cache(256)
def target_of(url: bytes) -> Target | None:
    """The parts of a request's target, None for one that no request to a server may have."""
    found = TARGET.fullmatch(url)
    if found is None:
        return None
    raw_path: bytes = found["here"] or found["there"] or b"/"
    path = raw_path.decode("ascii")
    return Target(unquote(path) if "%" in path else path, raw_path, found["query"] or b"", found["authority"])


def mistake(method: bytes, version: str, target: Target | None, headers: Headers) -> Refusal | None:
    """What is wrong with a head, None where nothing is; names of headers are in lower case."""
    if version not in VERSIONS:
        return Refusal(505, f"The version is HTTP/{version}. This server speaks HTTP/1.1.")
    if method not in METHODS:
        return Refusal(501, "This server does not know the request's method.")
    if method == b"CONNECT":
        return Refusal(400, "This server is no proxy.")
    if target is None or (target.raw_path == b"*" and method != b"OPTIONS"):
        return Refusal(400, "The target of the request is none that a server has.")
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not _is_host(value):
                return Refusal(400, "The Host header is no name of a server.")
        elif name == b"transfer-encoding":
            if version == "1.0":
                return Refusal(400, "HTTP/1.0 knows no Transfer-Encoding.")
            if value.lower() != b"chunked":  # others may stand before it, and would be taken for the body
                return Refusal(501, "The only Transfer-Encoding that this server knows is chunked.")
        elif name == b"expect" and version == "1.1" and value.lower() != b"100-continue":
            return Refusal(417, "The only expectation that this server knows is 100-continue.")
    if hosts > 1 or (not hosts and version == "1.1"):
        return Refusal(400, f"The request has {hosts} Host headers. HTTP/1.1 demands exactly one.")
    if target.authority is not None and not _is_host(target.authority):
        return Refusal(400, "The target of the request names no server.")
    return None


@lru_cache(256)
def _is_host(value: bytes) -> bool:
    return HOST.fullmatch(value) is not None


def refusal_of_error(error: httptools.HttpParserError, data: bytes) -> Refusal:
    """What to answer to bytes that the parser does not take; `data` are those it was reading."""
    if str(error) in NO_VERSION:
        return Refusal(505, "The version is none of HTTP's. This server speaks HTTP/1.1.")
    is_method = isinstance(error, httptools.HttpParserInvalidMethodError)
    if is_method and any(method not in METHODS for method in LINE.findall(data)):
        return Refusal(501, "This server does not know the request's method.")
    return Refusal(400, f"This is not HTTP as a server can read it: {error}.")


def without_offer(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """The head again, without the offer to speak another protocol."""
    line = b" ".join([method, url, b"HTTP/" + version.encode()])
    ends = any(name == b"connection" and b"close" in value.lower() for name, value in headers)
    kept = [b": ".join(pair) for pair in headers if pair[0] not in (b"connection", b"upgrade")]
    return b"\r\n".join([line, *kept, *([b"connection: close"] if ends else []), b"", b""])
