"""A head that a client sends again, byte for byte, as they do over a connection that is kept: it is parsed once."""

from typing import Final, NamedTuple

from ml.http.heads import Headers, Target

__all__ = ["Again", "Head", "again_of"]

END: Final = b"\r\n\r\n"


class Head(NamedTuple):
    """A request's head, read and found right.

    `keeps` says whether the connection stays open behind the request, `expects` whether its client waits for a 100
    (Continue) before it sends the body.
    """

    method: bytes
    version: str
    target: Target
    headers: Headers
    keeps: bool
    expects: bool


class Again(NamedTuple):
    """The bytes of a head, and how many bytes it has with its body."""

    raw: bytes
    size: int
    head: Head

    def body_in(self, data: bytes) -> bytes | None:
        """The body where `data` is one more such request, neither more nor less; else None."""
        return data[len(self.raw) :] if len(data) == self.size and data.startswith(self.raw) else None


def again_of(data: bytes, head: Head) -> Again | None:
    """What to know a request by that came as `data`, from its first byte to its last; None where that is not so.

    Only a head that states the length of its body counts: the parser would find the next body in the same place.
    """
    start = data.find(END) + len(END)
    lengths = [value for name, value in head.headers if name in (b"content-length", b"transfer-encoding")]
    if not head.keeps or head.expects or lengths != [b"%d" % (len(data) - start)] or data[:1] in b"\r\n":
        return None
    return Again(data[:start], len(data), head)
