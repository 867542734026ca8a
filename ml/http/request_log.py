"""The log of requests: one line of JSON on standard output for each, without its rows, keys or tokens."""

import logging
import queue
import sys
import threading
from typing import Final, TextIO

import msgspec

__all__ = ["JsonFormatter", "Line", "RequestLog"]

WAITING_LINES: Final = 10_000

log = logging.getLogger(__name__)


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answered request; `caller` is the name of an API key or the subject of a token."""

    at: str
    request_id: str
    method: str
    route: str
    status: int
    duration_ms: float
    caller: str | None = None
    trace_id: str | None = None


class RequestLog:
    """Written by a thread, so that a reader of the log who is slow makes no request wait; past a bound, lines go."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lines: queue.Queue[Line | None] = queue.Queue(WAITING_LINES)
        self._dropped = 0
        self._encoder = msgspec.json.Encoder()
        self._thread = threading.Thread(target=self._write, name="request-log", daemon=True)
        self._thread.start()

    def put(self, line: Line) -> None:
        """Log a request."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits."""
        try:
            self._lines.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._stream.write(self._encoder.encode(line).decode() + "\n")
                if self._lines.empty():
                    self._stream.flush()
            except OSError:  # nobody reads it any more
                self._dropped += 1
            if self._dropped:
                log.warning("%d lines of the log of requests were dropped", self._dropped)
                self._dropped = 0


class JsonFormatter(logging.Formatter):
    """The server's own log as JSON, a line an event."""

    def format(self, record: logging.LogRecord) -> str:
        """One event."""
        event = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(event).decode()
