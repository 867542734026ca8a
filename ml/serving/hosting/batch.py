"""Requests that arrive in the same round of the event loop, scored together: none waits, and each costs less."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from ml.http.answers import Response
from ml.model.model import Scored, ServedModel
from ml.model.requests import RequestRefused, Rows
from ml.serving.hosting.call import Call
from ml.serving.hosting.host import ModelHost
from ml.serving.log.frames import Logged, prediction_ids
from ml.serving.log.writer import PredictionLog
from ml.serving.telemetry.metrics import ServerMetrics

__all__ = ["Batch", "Waiting"]

ROUND_S: Final = 0.05  # of reading, before what was read is answered
ALONE: Final = 8  # requests in a row that came alone: the next ones will, and don't wait for the round to end
LOOKS: Final = 16  # but for every so many, which look for others
AT_LEAST: Final = 64  # requests, however long a busy machine keeps this process from reading them


class Waiting(NamedTuple):
    """A request whose rows were read with the schema of `model`.

    `done` is given `whose` and the answer, or what went wrong.
    """

    model: ServedModel
    rows: Rows
    call: Call
    request_id: str
    done: Callable[[Any, Response | Exception], None]
    whose: Any


class Batch:
    """Takes requests for a champion that scores in microseconds and has no challenger; used from the event loop."""

    def __init__(self, host: ModelHost, prediction_log: PredictionLog, metrics: ServerMetrics) -> None:
        self._host = host
        self._log = prediction_log
        self._metrics = metrics
        self._waiting: list[Waiting] = []
        self._began = 0.0
        self._alone = 0  # requests in a row that came alone

    @property
    def model(self) -> ServedModel | None:
        """The model whose requests are taken now, None where each is to be answered on its own."""
        serving = self._host.serving
        if serving is None or serving.deployment.challenger is not None or not serving.champion.is_quick:
            return None
        return serving.champion

    def refuse_late(self, now: float) -> None:
        """RequestRefused where reading what came together takes so long that those behind it would wait too long."""
        if len(self._waiting) >= AT_LEAST and now - self._began > ROUND_S:
            raise RequestRefused(429, "The server has more requests than it can answer. Try again in a moment.")

    def add(self, request: Waiting) -> None:
        """Answer a request when everything was read that came with it, or at once where nothing does."""
        if self._alone >= ALONE and self._alone % LOOKS:
            self._alone += 1
            self._answer_all(request.model, [request])
            return
        if not self._waiting:
            self._began = time.perf_counter()
            asyncio.get_running_loop().call_soon(self._answer)
        self._waiting.append(request)

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._alone = self._alone + 1 if len(waiting) == 1 else 0
        while waiting:
            model = waiting[0].model  # a swap between two requests: each is answered by who read it
            self._answer_all(model, [one for one in waiting if one.model is model])
            waiting = [one for one in waiting if one.model is not model]

    def _answer_all(self, model: ServedModel, requests: list[Waiting]) -> None:
        try:
            scored = _score(model, requests)
        except Exception as error:
            if len(requests) == 1:
                requests[0].done(requests[0].whose, error)
                return
            for one in requests:  # whose fault it is shows when each is scored alone
                self._answer_all(model, [one])
            return
        self._metrics.observe_predictions(model.release, scored.scores, scored.decisions)
        self._keep(model, requests, scored)
        start = 0
        for one in requests:
            end = start + len(one.rows.matrix)
            own = Scored(one.rows, scored.scores[start:end], scored.decisions[start:end])
            start = end
            try:
                answer: Response | Exception = one.call.write(model, own, one.request_id, None)
            except Exception as error:
                answer = error
            one.done(one.whose, answer)

    def _keep(self, model: ServedModel, requests: list[Waiting], scored: Scored) -> None:
        self._log.put(
            Logged(
                prediction_ids=[
                    name for one in requests for name in prediction_ids(one.request_id, len(one.rows.matrix))
                ],
                release=model.release,
                role="champion",
                columns=model.columns,
                matrix=scored.rows.matrix,
                scores=scored.scores,
                decisions=scored.decisions,
                threshold=model.manifest.decision_threshold,
                subjects=scored.rows.subjects,
            )
        )


def _score(model: ServedModel, requests: list[Waiting]) -> Scored:
    if len(requests) == 1:
        return model.score(requests[0].rows)
    subjects: list[str | None] | None = None
    if any(one.rows.subjects for one in requests):
        subjects = [name for one in requests for name in one.rows.subjects or [None] * len(one.rows.matrix)]
    return model.score(Rows(np.concatenate([one.rows.matrix for one in requests]), subjects))
