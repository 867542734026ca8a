"""How much a client has sent that is no body: what a server holds or reads without anybody having asked for it."""

__all__ = ["Sizes"]


class Sizes:
    """Counts the bytes of a head, of trailers, and of what frames a body, each up to `most` bytes.

    Framing may be as much as the body on top of that: a body in pieces of a few bytes is a client's right, one in
    pieces of one byte is not. Bytes that came together with the end of what stands before them may go uncounted.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.body = 0  # of the request whose head was whole last
        self._gap = 0  # since a head, a piece of a body, or a request was whole
        self._section = 0  # the head, or the trailers, as far as they were read
        self._fed = 0  # everything since the head was whole, or since the request before it was

    def feed(self, count: int) -> None:
        """Bytes came."""
        self._gap += count
        self._fed += count

    def begin(self) -> None:
        """A head, or trailers, may begin."""
        self._gap = self._section = self._fed = self.body = 0

    def piece(self, count: int) -> None:
        """A piece of the body."""
        self._gap = 0
        self.body += count

    def fits(self, count: int) -> bool:
        """Whether so much more of the head, or of the trailers, fits."""
        self._section += count
        return self._section <= self.most

    @property
    def are_kept(self) -> bool:
        """Whether everything is within its limits."""
        return self._gap <= self.most and self._fed - self.body <= self.most + self.body
