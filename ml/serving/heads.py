"""The head of a request: what of it is refused, because two servers could read it in two ways, and how large it is."""

from typing import Final

__all__ = ["mistake", "size_of", "without_offer"]

VERSIONS: Final = ("1.0", "1.1")

Headers = list[tuple[bytes, bytes]]


def mistake(method: bytes, version: str, headers: Headers) -> str | None:
    """What is wrong with a head, None where nothing is; names of headers are in lower case."""
    if version not in VERSIONS:
        return f"The version is HTTP/{version}. This server speaks HTTP/1.1."
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    if hosts > 1 or (not hosts and version == "1.1"):
        return f"The request has {hosts} Host headers. HTTP/1.1 demands exactly one."
    if version == "1.0" and b"transfer-encoding" in names:
        return "HTTP/1.0 knows no Transfer-Encoding."
    if method == b"CONNECT":
        return "This server is no proxy."
    return None


def size_of(url: bytes, headers: Headers) -> int:
    """About how many bytes a head had."""
    return len(url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in headers)


def without_offer(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """The head again, without the offer to speak another protocol."""
    line = b" ".join([method, url, b"HTTP/" + version.encode()])
    ends = any(name == b"connection" and b"close" in value.lower() for name, value in headers)
    kept = [b": ".join(pair) for pair in headers if pair[0] not in (b"connection", b"upgrade")]
    return b"\r\n".join([line, *kept, *([b"connection: close"] if ends else []), b"", b""])
