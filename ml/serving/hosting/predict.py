"""Answer a prediction request: by the champion or its challenger, logged, watched, explained when asked."""

import hashlib
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ml.http.answers import Response
from ml.model.explain import Explained
from ml.model.model import Scored, ServedModel
from ml.model.requests import RequestRefused
from ml.serving.hosting.call import Call
from ml.serving.hosting.host import Challenger, ModelHost, Serving
from ml.serving.hosting.watch import Side
from ml.serving.log.frames import Logged, Role, prediction_ids
from ml.serving.log.writer import PredictionLog
from ml.serving.telemetry.metrics import ServerMetrics

__all__ = ["Predictor", "is_for_challenger"]

SHADOW_QUEUE: Final = 64  # requests; a shadow that is slower than its champion skips the others

log = logging.getLogger(__name__)


def is_for_challenger(request_id: str, weight: float) -> bool:
    """Whether a request falls to the share `weight` of all: the same answer for the same id, on every server."""
    drawn = int.from_bytes(hashlib.blake2b(request_id.encode(), digest_size=8).digest(), "big")
    return drawn < weight * 2**64


class Predictor:
    """Answers calls, of whatever protocol; safe to use from threads."""

    def __init__(self, host: ModelHost, prediction_log: PredictionLog, metrics: ServerMetrics) -> None:
        self._host = host
        self._log = prediction_log
        self._metrics = metrics
        self._shadow = ThreadPoolExecutor(1, thread_name_prefix="shadow")
        self._shadow_room = threading.BoundedSemaphore(SHADOW_QUEUE)

    @property
    def is_quick(self) -> bool:
        """Whether whatever answers now is scored in microseconds; what a shadow takes, it takes in its own thread."""
        serving = self._host.serving
        if serving is None or serving.challenger is None:
            return serving is not None and serving.champion.is_quick
        return serving.champion.is_quick and serving.challenger.model.is_quick

    def answer(self, call: Call, request_id: str) -> Response:
        """Answer in the call's protocol; RequestRefused for rows that do not fit, and before a release serves."""
        serving = self._host.serving
        if serving is None:
            raise RequestRefused(503, self._host.error or "The release is still being loaded. Try again in a moment.")
        challenger = serving.challenger
        if challenger is None or call.pinned or not is_for_challenger(request_id, challenger.stated.weight):
            return self._by_champion(serving, call, request_id)
        if challenger.stated.mode == "canary":
            return self._by_canary(serving, challenger, call, request_id)
        answer = self._by_champion(serving, call, request_id)
        self._cast_shadow(challenger, call, request_id)
        return answer

    def close(self) -> None:
        """Let the shadow finish what it was given."""
        self._shadow.shutdown()

    def _by_champion(self, serving: Serving, call: Call, request_id: str) -> Response:
        scored = self._scored(serving.champion, serving.challenger, "champion", call)
        return self._answered(serving.champion, "champion", scored, call, request_id)

    def _by_canary(self, serving: Serving, challenger: Challenger, call: Call, request_id: str) -> Response:
        """The challenger's answer, or the champion's when the challenger fails on what the champion can answer."""
        try:
            scored = self._scored(challenger.model, challenger, "challenger", call)
            answer = self._answered(challenger.model, "challenger", scored, call, request_id)
        except Exception as error:
            answer = self._by_champion(serving, call, request_id)  # refuses what is the caller's mistake
            self._failed(challenger, request_id, error)
            return answer
        self._metrics.observe_challenger(challenger.stated, "answered")
        return answer

    def _cast_shadow(self, challenger: Challenger, call: Call, request_id: str) -> None:
        if self._shadow_room.acquire(blocking=False):
            self._shadow.submit(self._by_shadow, challenger, call, request_id)
        else:
            self._metrics.observe_challenger(challenger.stated, "skipped")

    def _by_shadow(self, challenger: Challenger, call: Call, request_id: str) -> None:
        try:
            scored = self._scored(challenger.model, challenger, "challenger", call)
            self._keep(challenger.model, "shadow", scored, request_id, None)
            self._metrics.observe_challenger(challenger.stated, "answered")
        except Exception as error:
            self._failed(challenger, request_id, error)
        finally:
            self._shadow_room.release()

    def _scored(self, model: ServedModel, challenger: Challenger | None, side: Side, call: Call) -> Scored:
        started = time.perf_counter()
        scored = model.score(call.read(model))
        if challenger is not None:
            challenger.watch.answered(side, scored.scores, time.perf_counter() - started)
            self._judge(challenger)
        return scored

    def _failed(self, challenger: Challenger, request_id: str, error: Exception) -> None:
        log.error("The challenger %s failed on request %s: %s", challenger.stated.release, request_id, error)
        self._metrics.observe_challenger(challenger.stated, "failed")
        challenger.watch.failed()
        self._judge(challenger)

    def _judge(self, challenger: Challenger) -> None:
        if challenger.watch.breach is not None:
            self._host.take_back(challenger, challenger.watch.breach)

    def _answered(self, model: ServedModel, role: Role, scored: Scored, call: Call, request_id: str) -> Response:
        explained = model.explain(scored) if call.explain else None
        answer = call.write(model, scored, request_id, explained)
        self._metrics.observe_predictions(model.release, scored.scores, scored.decisions)
        self._keep(model, role, scored, request_id, explained)
        return answer

    def _keep(
        self, model: ServedModel, role: Role, scored: Scored, request_id: str, explained: Explained | None
    ) -> None:
        self._log.put(
            Logged(
                prediction_ids=prediction_ids(request_id, len(scored.scores)),
                release=model.release,
                role=role,
                columns=model.columns,
                matrix=scored.rows.matrix,
                scores=scored.scores,
                decisions=scored.decisions,
                threshold=model.manifest.decision_threshold,
                subjects=scored.rows.subjects,
                reasons=explained.as_json() if explained else None,
            )
        )
