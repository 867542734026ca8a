"""The prediction log's writer: takes rows from requests without making them wait, and brings them to the store.

Two threads: one writes what was queued to a spool, at the latest after `flush_interval_s`, in portions so small that no
request waits long for the interpreter; the other has full spools brought to the store, by a process of its own, so that
a slow store delays neither requests nor the spool.
"""

import logging
import subprocess
import threading
from collections import deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from ml.errors import MlopsError
from ml.problem import Problem
from ml.serving.log.frames import Framer, Logged
from ml.serving.log.spool import Frame, Segment, segments
from ml.serving.log.store import Done, follow, store_here, storing
from ml.serving.telemetry.metrics import ServerMetrics
from ml.store import Store

__all__ = ["LogSettings", "PredictionLog"]

CLOSE_S: Final = 30.0
PORTION: Final = 128  # what was logged that is written at once: some 0.3 ms

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogSettings:
    """Where spools stand and how often they are written; a kill loses at most the last `flush_interval_s`."""

    spool: Path
    flush_interval_s: float = 1.0
    rotate_interval_s: float = 60.0
    rotate_rows: int = 100_000  # of a spool, which is turned into parquet as a whole
    store_rows: int = 1_000_000  # in full spools are brought to the store at once, however early
    queue_rows: int = 200_000
    flush_rows: int = 20_000  # wait to be written at once, however early: each time costs a sync of the disk
    keep_bytes: int | None = None  # in a store that nobody empties: the oldest go


class PredictionLog:
    """Rows go in by `put`; `start` begins writing them, `close` brings all that is left to the store."""

    def __init__(self, store: Store, problem: Problem, settings: LogSettings, metrics: ServerMetrics) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._framer = Framer(store, problem)
        self._lock = threading.Lock()
        self._queue: deque[Logged] = deque()
        self._queued_rows = 0
        self._segment: Segment | None = None
        self._rotated_rows = 0
        self._storing: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self._full = threading.Event()
        self._due = threading.Event()
        self._threads = [
            threading.Thread(target=self._write_spool, name="log-spool", daemon=True),
            threading.Thread(target=self._fill_store, name="log-store", daemon=True),
        ]

    def put(self, logged: Logged) -> None:
        """Queue predictions; when the queue is full they are dropped, and counted."""
        rows = len(logged.scores)
        with self._lock:
            is_full = self._queued_rows + rows > self._settings.queue_rows
            if not is_full:
                self._queue.append(logged)
                self._queued_rows += rows
        if is_full:
            self._metrics.observe_logged("dropped", rows)
        elif self._queued_rows >= self._settings.flush_rows:
            self._full.set()

    def start(self) -> None:
        """Begin to write; spools that an earlier process left are brought to the store first."""
        self._metrics.watch_log_queue(lambda: self._queued_rows)
        for thread in self._threads:
            thread.start()

    def write(self) -> None:
        """Bring what is queued to the store now, where nothing was started: for a process that may be frozen."""
        self._flush()
        self._rotate()
        store_here(self._store, self._settings.spool, self._tell, self._settings.keep_bytes)

    def close(self) -> None:
        """Write what is queued and bring it to the store; what the store doesn't take waits in the spool."""
        self._closing.set()
        if self._storing is not None:
            self._storing.terminate()  # it gives way to others; the last one, which doesn't, does its work
        self._full.set()
        self._due.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(CLOSE_S)

    def _write_spool(self) -> None:
        while not self._closing.is_set():
            self._full.wait(self._settings.flush_interval_s)
            self._full.clear()
            if not self._flush():
                self._closing.wait(self._settings.flush_interval_s)
        self._flush()
        self._rotate()

    def _fill_store(self) -> None:
        while not self._closing.is_set():
            self._store_segments()
            self._due.wait(self._settings.rotate_interval_s)
            self._due.clear()
        self._threads[0].join(CLOSE_S)
        self._store_segments(is_urgent=True)

    def _flush(self) -> bool:
        """Write what is queued; whether that went well."""
        try:
            for _ in range(0, len(self._queue), PORTION):
                portion = list(islice(self._queue, PORTION))
                for frame in self._framer.frames(portion):
                    self._append(frame)
                self._forget(portion)
        except (MlopsError, OSError) as error:  # the key of the pseudonyms: these rows wait for it
            log.error("The prediction log can't be written: %s", error)
            return False
        finally:
            self._end_portions()
        return True

    def _end_portions(self) -> None:
        segment, settings = self._segment, self._settings
        if segment is None:
            return
        try:
            segment.sync()
        except OSError as error:
            log.error("%d predictions may not outlive this machine: %s", segment.rows, error)
            self._rotate()
        if segment.age_s >= settings.rotate_interval_s:
            self._rotate()
            self._due.set()
        elif segment.rows >= settings.rotate_rows:
            self._rotate()
            if self._rotated_rows >= settings.store_rows:
                self._due.set()

    def _forget(self, written: list[Logged]) -> None:
        with self._lock:
            for logged in written:
                self._queue.popleft()
                self._queued_rows -= len(logged.scores)

    def _append(self, frame: Frame) -> None:
        rows = len(frame.prediction_ids)
        try:
            if self._segment is None:
                self._segment = Segment(self._settings.spool, self._framer.names)
            self._segment.append(frame)
            self._metrics.observe_logged("spooled", rows)
        except OSError as error:  # a full disk: what stands behind a torn frame would not be read
            log.error("%d predictions are not logged: %s", rows, error)
            self._metrics.observe_logged("dropped", rows)
            self._rotate()

    def _rotate(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._rotated_rows += self._segment.rows
            self._segment = None

    def _store_segments(self, *, is_urgent: bool = False) -> None:
        self._rotated_rows = 0
        if segments(self._settings.spool):
            try:
                self._storing = storing(
                    self._store, self._settings.spool, self._settings.keep_bytes, is_urgent=is_urgent
                )
                if self._closing.is_set() and not is_urgent:
                    self._storing.terminate()  # as `close` would have done
                code = follow(self._storing, self._tell)
                if code and (is_urgent or not self._closing.is_set()):
                    log.error("The prediction log's spools are not in the store yet: what stores them ended: %d", code)
            except (OSError, msgspec.DecodeError) as error:  # no memory for a process: they wait
                log.error("The prediction log's spools are not in the store yet: %s", error)

    def _tell(self, done: Done) -> None:
        if done.error is not None:
            log.error("The prediction log's spool %s is not in the store yet: %s", done.file, done.error)
        elif done.rows:
            self._metrics.observe_logged("stored", done.rows)
        elif done.discarded:
            log.warning("%d of the oldest predictions were discarded: the log has reached its limit", done.discarded)
            self._metrics.observe_logged("discarded", done.discarded)
