"""Predictions as the log keeps them: features minimised, people under pseudonyms, rows of one release in one frame."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import repeat
from typing import Final, Literal

import msgspec
import numpy as np

from ml.problem import Problem
from ml.serving.log.minimise import Minimiser
from ml.serving.log.spool import Frame
from ml.store import Store
from ml.subjects import Pseudonyms

__all__ = ["Framer", "Logged", "Role", "prediction_ids"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

Role = Literal["champion", "challenger", "shadow"]


class Logged(msgspec.Struct, frozen=True, gc=False):
    """Predictions of one model: `matrix` is (rows, columns); the ids, scores and decisions are (rows,).

    `subjects` are names as the caller gave them; they are replaced before anything is written.
    """

    prediction_ids: Sequence[str]
    release: str
    role: Role
    columns: tuple[str, ...]
    matrix: np.ndarray
    scores: np.ndarray
    decisions: np.ndarray
    threshold: float
    subjects: Sequence[str | None] | None = None
    reasons: Sequence[str | None] | None = None
    at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))


def prediction_ids(request_id: str, rows: int) -> list[str]:
    """What the rows of a request are called in the log."""
    return [request_id] if rows == 1 else [request_id + ending for ending in _endings(rows)]


@lru_cache(16)
def _endings(rows: int) -> list[str]:
    return [f"-{row}" for row in range(rows)]


class Framer:
    """Makes frames by the problem's rules, with the pseudonyms of the store's environment."""

    def __init__(self, store: Store, problem: Problem) -> None:
        self._store = store
        self._minimiser = Minimiser(problem)
        self._pseudonyms: Pseudonyms | None = None

    @property
    def names(self) -> list[str]:
        """The features of a frame, in their order."""
        return self._minimiser.names

    def frames(self, portion: Sequence[Logged]) -> list[Frame]:
        """Rows of one release in one role are one frame; MlopsError where the pseudonyms' key can't be had."""
        groups: dict[tuple[object, ...], list[Logged]] = {}
        for logged in portion:
            groups.setdefault((logged.release, logged.role, logged.threshold, logged.columns), []).append(logged)
        return [self._frame(group) for group in groups.values()]

    def _frame(self, group: list[Logged]) -> Frame:
        """Rows of one release in one role."""
        first = group[0]
        counts = [len(logged.scores) for logged in group]
        at = np.repeat([(logged.at - EPOCH) // MICROSECOND for logged in group], counts)
        return Frame(
            first.release,
            first.role,
            first.threshold,
            [name for logged in group for name in logged.prediction_ids],
            at.astype("<i8").tobytes(),
            self._minimiser.kept(first.columns, np.concatenate([logged.matrix for logged in group]))
            .astype("<i4", copy=False)
            .tobytes(),
            np.concatenate([logged.scores for logged in group]).astype("<f8", copy=False).tobytes(),
            np.concatenate([logged.decisions for logged in group]).astype("i1").tobytes(),
            self._subjects(group),
            _listed([logged.reasons for logged in group], counts),
        )

    def _subjects(self, group: list[Logged]) -> list[str | None] | None:
        names = _listed([logged.subjects for logged in group], [len(logged.scores) for logged in group])
        return names and [self._pseudonym(name) if name is not None else None for name in names]

    def _pseudonym(self, name: str) -> str:
        if self._pseudonyms is None:
            self._pseudonyms = Pseudonyms(self._store)
        return self._pseudonyms.of(name)


def _listed(parts: list[Sequence[str | None] | None], counts: list[int]) -> list[str | None] | None:
    """One list of all rows, None where nobody gave any."""
    if not any(parts):
        return None
    return [item for part, count in zip(parts, counts, strict=True) for item in part or repeat(None, count)]
