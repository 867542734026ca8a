"""What following a job on any platform takes: ask until it has ended, say what is new, and say why it failed."""

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from ml.errors import MlopsError

__all__ = ["News", "Say", "failed", "wait_for"]

Say = Callable[[str], None]
Seen = TypeVar("Seen")


class News:
    """Says of each thing what has changed since it was last said."""

    def __init__(self, progress: Say) -> None:
        self._progress = progress
        self._said: dict[str, str] = {}

    def say(self, thing: str, line: str) -> None:
        """Say it, unless it was the last that was said of the thing."""
        if self._said.get(thing) != line:
            self._said[thing] = line
            self._progress(line)


def wait_for(look: Callable[[], Seen], has_ended: Callable[[Seen], bool], poll_s: float) -> Seen:
    """Look until it has, for platforms tell nobody; what was seen then."""
    while not has_ended(seen := look()):
        time.sleep(poll_s)
    return seen


def failed(how: str, why: str, last_lines: Iterable[str], whose: str = "") -> MlopsError:
    """The error of a job that ended badly: how, why, and the last lines of its log, which is `whose`."""
    said = f"{how}: {why.rstrip('.')}."
    if lines := "".join(f"\n  {line}" for line in last_lines):
        said += f" Its last lines{f', of {whose}' if whose else ''}:{lines}"
    return MlopsError(said)
