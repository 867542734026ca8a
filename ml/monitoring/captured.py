"""What a platform kept of requests and answers in MLflow's protocol, as the predictions that a model server logs."""

import sys
from datetime import datetime
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np

from ml.bundle.bundle import read_file, read_manifest
from ml.bundle.schema import SCHEMA_FILE, BundleSchema
from ml.model.requests import MAXIMUM_SUBJECT, RequestRefused, Rows
from ml.model.tables import TableReader
from ml.serving.log.frames import Logged, Role, prediction_ids
from ml.serving.protocols.body import envelope
from ml.serving.protocols.mlflow import SHAPE, Invocation, given, read_rows
from ml.store import Store

__all__ = ["CaptureReader", "Captured", "Unreadable"]


class Captured(NamedTuple):
    """One answered request: `request_id` is the caller's own name for it, or the platform's."""

    request_id: str
    at: datetime
    request: str
    response: str


class Unreadable(Exception):
    """Why a request is not in the log; never with a value of it, for the log wouldn't hold that either."""


class _Sent(Invocation, forbid_unknown_fields=False):
    """Rows in MLflow's protocol; it ignores other keys, of which ours says whom each row is about."""

    subjects: list[Annotated[str, msgspec.Meta(max_length=MAXIMUM_SUBJECT, pattern=r"\S")] | None] | None = None


class _Answer(msgspec.Struct):
    """The probability of each class, the positive one last."""

    predictions: list[list[float]]


SENT: Final = msgspec.json.Decoder(_Sent)
ANSWER: Final = msgspec.json.Decoder(_Answer)


class CaptureReader:
    """Reads what one release was asked; ReleaseRefused for a release that isn't whole in the store."""

    def __init__(self, store: Store, release: str) -> None:
        self._release = release
        manifest = read_manifest(store, release)
        self._threshold = manifest.decision_threshold
        schema = BundleSchema.parse(read_file(store, release, manifest, SCHEMA_FILE))
        self._tables = TableReader(schema.features, np.float64, maximum_rows=sys.maxsize)
        self._codes = np.array([schema.negative, schema.positive])

    def read(self, captured: Captured, role: Role) -> Logged:
        """What the log holds of a request; Unreadable where rows and probabilities can't be told."""
        rows = self._rows(captured.request)
        scores = _scores(captured.response, len(rows.matrix))
        return Logged(
            prediction_ids=prediction_ids(captured.request_id, len(scores)),
            release=self._release,
            role=role,
            columns=tuple(self._tables.names),
            matrix=rows.matrix,
            scores=scores,
            decisions=self._codes[(scores >= self._threshold).view(np.int8)],
            threshold=self._threshold,
            subjects=rows.subjects,
            at=captured.at,
        )

    def _rows(self, request: str) -> Rows:
        try:
            sent = envelope(request.encode(), SENT, SHAPE)
            rows = read_rows(self._tables, *given(sent))
        except RequestRefused as refused:
            raise Unreadable(_reason(refused, self._tables.names)) from refused
        if sent.subjects is not None and len(sent.subjects) != len(rows.matrix):
            raise Unreadable("as many rows as subjects are needed")
        return Rows(rows.matrix, sent.subjects)


def _reason(refused: RequestRefused, columns: list[str]) -> str:
    columns_at_fault = [m.column for m in refused.mistakes if m.column in columns]
    if columns_at_fault:
        return f"the column {columns_at_fault[0]} of a row is not what the problem definition allows"
    return "the request holds no rows that fit the release's columns"


NO_SCORES: Final = "the answer doesn't hold one probability of each class for every row"


def _scores(response: str, rows: int) -> np.ndarray:
    try:
        found = np.array(ANSWER.decode(response).predictions, dtype=np.float64)
    except (msgspec.DecodeError, ValueError) as error:
        raise Unreadable(NO_SCORES) from error
    if found.shape != (rows, 2) or not ((found >= 0) & (found <= 1)).all():
        raise Unreadable(NO_SCORES)
    return found[:, -1]
