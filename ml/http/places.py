"""The connections of one server process: which have a place, and which are past the limit, for health and metrics."""

from typing import Final, Protocol

__all__ = ["Places"]

FEWEST: Final = 32


class _Connection(Protocol):
    def give_way(self) -> None: ...


class Places:
    """Up to `most` connections that ask something have a place; as many again are spare.

    A connection is spare until it sends a whole head, so that slow clients take nobody's place; of the spare ones that
    wait, the first makes room for another. Used from the event loop alone.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._placed: set[_Connection] = set()
        self._spare: set[_Connection] = set()
        self._waiting: dict[_Connection, None] = {}  # of the spare ones, in the order in which they began to wait

    def enter(self, connection: _Connection) -> bool:
        """Take in a connection; False where there is no room, not even by sending another away."""
        if len(self._spare) >= max(self.most, FEWEST):
            longest = next(iter(self._waiting), None)
            if longest is None:
                return False
            self.leave(longest)
            longest.give_way()
        self._spare.add(connection)
        self._waiting[connection] = None
        return True

    def places(self, connection: _Connection) -> bool:
        """Whether a connection that asks something has a place, perhaps from now on."""
        if connection in self._placed:
            return True
        if len(self._placed) >= self.most:
            return False
        self._spare.discard(connection)
        self._waiting.pop(connection, None)
        self._placed.add(connection)
        return True

    def asks(self, connection: _Connection) -> None:
        """A spare connection has sent a whole head: it does not wait."""
        self._waiting.pop(connection, None)

    def waits(self, connection: _Connection) -> None:
        """A spare connection waits for the next head."""
        if connection in self._spare:
            self._waiting[connection] = None

    def leave(self, connection: _Connection) -> None:
        """A connection is over."""
        self._placed.discard(connection)
        self._spare.discard(connection)
        self._waiting.pop(connection, None)
