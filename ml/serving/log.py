"""The prediction log's writer: takes rows from requests without making them wait, and brings them to the store.

Two threads: one writes what was queued to a spool every `flush_interval_s`, the other brings full spools to the store,
so that a slow store delays neither requests nor the spool.
"""

import logging
import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
import pyarrow as pa

from ml.errors import MlopsError
from ml.predictions import log_schema
from ml.problem import Problem
from ml.serving.lean import keep_pandas_out
from ml.serving.metrics import ServerMetrics
from ml.serving.minimise import Minimiser
from ml.serving.spool import Segment, segments, store_segment
from ml.store import Store
from ml.subjects import Pseudonyms

__all__ = ["LogSettings", "Logged", "PredictionLog", "Role"]

CLOSE_S: Final = 30.0

Role = Literal["champion", "challenger", "shadow"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogSettings:
    """Where spools stand and how often they are written; a kill loses at most the last `flush_interval_s`."""

    spool: Path
    flush_interval_s: float = 1.0
    rotate_interval_s: float = 60.0
    rotate_rows: int = 100_000
    queue_rows: int = 200_000


class Logged(msgspec.Struct, frozen=True, gc=False):
    """The predictions of one request: `matrix` is (rows, columns), `scores` and `decisions` (rows,).

    `subjects` are names as the caller gave them; they are replaced before anything is written.
    """

    request_id: str
    release: str
    role: Role
    columns: tuple[str, ...]
    matrix: np.ndarray
    scores: np.ndarray
    decisions: np.ndarray
    threshold: float
    subjects: list[str | None] | None = None
    reasons: list[str] | None = None
    at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))


class PredictionLog:
    """Rows go in by `put`; `start` begins writing them, `close` brings all that is left to the store."""

    def __init__(self, store: Store, problem: Problem, settings: LogSettings, metrics: ServerMetrics) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._schema = log_schema(problem)
        self._minimiser = Minimiser(problem)
        self._lock = threading.Lock()
        self._queue: deque[Logged] = deque()
        self._queued_rows = 0
        self._taken: list[Logged] = []
        self._segment: Segment | None = None
        self._pseudonyms: Pseudonyms | None = None
        self._closing = threading.Event()
        self._rotated = threading.Event()
        self._threads = [
            threading.Thread(target=self._write_spool, name="log-spool", daemon=True),
            threading.Thread(target=self._fill_store, name="log-store", daemon=True),
        ]

    def put(self, logged: Logged) -> None:
        """Queue the predictions of a request; when the queue is full they are dropped, and counted."""
        rows = len(logged.scores)
        with self._lock:
            is_full = self._queued_rows + rows > self._settings.queue_rows
            if not is_full:
                self._queue.append(logged)
                self._queued_rows += rows
        if is_full:
            self._metrics.observe_logged("dropped", rows)

    def start(self) -> None:
        """Begin to write; spools that an earlier process left are brought to the store first."""
        keep_pandas_out()
        self._metrics.watch_log_queue(lambda: self._queued_rows)
        for thread in self._threads:
            thread.start()

    def write(self) -> None:
        """Bring what is queued to the store now, where nothing was started: for a process that may be frozen."""
        self._flush()
        self._rotate()
        self._store_segments()

    def close(self) -> None:
        """Write what is queued and bring it to the store; what the store doesn't take waits in the spool."""
        self._closing.set()
        self._rotated.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(CLOSE_S)

    def _write_spool(self) -> None:
        while not self._closing.wait(self._settings.flush_interval_s):
            self._flush()
        self._flush()
        self._rotate()

    def _fill_store(self) -> None:
        while not self._closing.is_set():
            self._store_segments()
            self._rotated.wait(self._settings.rotate_interval_s)
            self._rotated.clear()
        self._threads[0].join(CLOSE_S)
        self._store_segments()

    def _flush(self) -> None:
        try:
            self._take()
            for batch in self._batches():
                self._append(batch)
            self._taken.clear()
        except (MlopsError, OSError) as error:  # the key of the pseudonyms: these rows wait for it
            log.error("The prediction log can't be written: %s", error)
        segment, settings = self._segment, self._settings
        if segment and (segment.rows >= settings.rotate_rows or segment.age_s >= settings.rotate_interval_s):
            self._rotate()

    def _take(self) -> None:
        """Move what is queued to `_taken`, unless that still waits: both together stay within the bound."""
        with self._lock:
            if not self._taken:
                self._taken, self._queue, self._queued_rows = list(self._queue), deque(), 0

    def _append(self, batch: pa.RecordBatch) -> None:
        try:
            if self._segment is None:
                self._segment = Segment(self._settings.spool, self._schema)
            self._segment.append(batch)
            self._metrics.observe_logged("spooled", batch.num_rows)
        except OSError as error:  # a full disk: what stands behind a torn batch would not be read
            log.error("%d predictions are not logged: %s", batch.num_rows, error)
            self._metrics.observe_logged("dropped", batch.num_rows)
            self._rotate()

    def _rotate(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None
            self._rotated.set()

    def _store_segments(self) -> None:
        for file in segments(self._settings.spool):
            try:
                self._metrics.observe_logged("stored", store_segment(self._store, file))
            except Exception as error:  # the store is away, or one spool is spoilt: the others and later ones go on
                log.error("The prediction log's spool %s is not in the store yet: %s", file, error)

    def _batches(self) -> list[pa.RecordBatch]:
        groups: dict[tuple[str, ...], list[Logged]] = {}
        for logged in self._taken:
            groups.setdefault(logged.columns, []).append(logged)
        return [self._batch(columns, group) for columns, group in groups.items()]

    def _batch(self, columns: tuple[str, ...], group: list[Logged]) -> pa.RecordBatch:
        """Rows of releases with the same columns, as `ml.predictions.log_schema` has them."""
        matrix = np.concatenate([logged.matrix for logged in group])
        counts = [len(logged.scores) for logged in group]
        return pa.RecordBatch.from_pydict(
            {
                "prediction_id": [name for logged in group for name in _prediction_ids(logged)],
                "subject": self._subjects(group),
                "at": _repeated([logged.at for logged in group], counts),
                "release": _repeated([logged.release for logged in group], counts),
                "role": _repeated([logged.role for logged in group], counts),
                **self._minimiser.columns(columns, matrix),
                "score": np.concatenate([logged.scores for logged in group]),
                "decision": np.concatenate([logged.decisions for logged in group]),
                "threshold": _repeated([logged.threshold for logged in group], counts),
                "reasons": [text for logged in group for text in logged.reasons or [None] * len(logged.scores)],
            },
            self._schema,
        )

    def _subjects(self, group: list[Logged]) -> list[str | None]:
        return [
            self._pseudonym(name) if name is not None else None
            for logged in group
            for name in logged.subjects or [None] * len(logged.scores)
        ]

    def _pseudonym(self, name: str) -> str:
        if self._pseudonyms is None:
            self._pseudonyms = Pseudonyms(self._store)
        return self._pseudonyms.of(name)


def _prediction_ids(logged: Logged) -> list[str]:
    rows = len(logged.scores)
    return [logged.request_id] if rows == 1 else [f"{logged.request_id}-{row}" for row in range(rows)]


def _repeated(values: list[Any], counts: list[int]) -> list[Any]:
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]
