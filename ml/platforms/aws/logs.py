"""The log of a job as CloudWatch has it: each line once, in its stream's order."""

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["JobLog"]

LAST_LINES: Final = 15


class JobLog:
    """Reads on from where it stopped; a read that fails half-way leaves nothing out and repeats nothing.

    Every machine of a job has a stream of its own in the `group`, whose name begins with `prefix` and which appears
    when the machine starts.
    """

    def __init__(self, logs: Any, group: str, prefix: str) -> None:
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        self._logs, self._group, self._prefix = logs, group, prefix
        self._tokens: dict[str, str | None] = {}  # by stream: what CloudWatch is to go on from

    def new_lines(self) -> Iterator[str]:
        """The lines that have come since the last call; botocore's errors as they are."""
        try:
            for stream in self._streams():
                self._tokens.setdefault(stream, None)
        except self._logs.exceptions.ResourceNotFoundException:
            return  # nothing has been logged yet: the group itself comes with its first line
        for stream in self._tokens:
            yield from self._new_in(stream)

    def _streams(self) -> Iterator[str]:
        pages = self._logs.get_paginator("describe_log_streams")
        for page in pages.paginate(logGroupName=self._group, logStreamNamePrefix=self._prefix):
            yield from (stream["logStreamName"] for stream in page["logStreams"])

    def _new_in(self, stream: str) -> Iterator[str]:
        """A page may be empty although more follows: only the same token again says that this was all."""
        several = len(self._tokens) > 1
        host = stream.rpartition("/")[2]
        while True:
            token = self._tokens[stream]
            asked = {"logGroupName": self._group, "logStreamName": stream, "startFromHead": True}
            page = self._logs.get_log_events(**asked, **({"nextToken": token} if token else {}))
            self._tokens[stream] = page["nextForwardToken"]
            for event in page["events"]:
                line = _printable(f"{host}  {event['message']}" if several else event["message"])
                self.last.append(line)
                yield line
            if page["nextForwardToken"] == token:
                return


def _printable(line: str) -> str:
    """What a container printed, without what would move a terminal's cursor or change its colours."""
    shown = line.rstrip("\r\n").rpartition("\r")[2]  # of a bar that draws over itself, as it was last
    return "".join(c if c.isprintable() or c == "\t" else "�" for c in shown)
