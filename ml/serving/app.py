"""The model server's ASGI application: which path answers what."""

import asyncio
import gc
import logging
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from ml.access.check import Access
from ml.access.described import describe
from ml.access.settings import AccessSettings
from ml.errors import MlopsError
from ml.http.answers import (
    Receive,
    Response,
    Scope,
    Send,
    header,
    json_response,
    read_body,
    run_lifespan,
)
from ml.http.capacity import Bodies, Queue, held_bytes
from ml.http.front import OBSERVE, Reply
from ml.http.request_log import RequestLog
from ml.model.requests import RequestRefused
from ml.problem import Problem, load_problem
from ml.release.allowed import Place, require_allowed
from ml.serving.deployment import Deployment, admin_token
from ml.serving.gateway import Gateway
from ml.serving.hosting.batch import Batch
from ml.serving.hosting.call import Call
from ml.serving.hosting.host import ModelHost, Serving
from ml.serving.hosting.peers import Peers
from ml.serving.hosting.predict import Predictor
from ml.serving.log.writer import LogSettings, PredictionLog
from ml.serving.protocols import azureml, invocations, kserve, mlflow, native, open_inference, vertex
from ml.serving.protocols.openapi import docs_page, openapi
from ml.serving.protocols.route import Request, Route, Routes
from ml.serving.protocols.vertex import VertexRoutes
from ml.serving.telemetry.metrics import ServerMetrics
from ml.serving.telemetry.tracing import tracing_of
from ml.store import Store

__all__ = ["ModelServer", "Settings", "worker"]

MAXIMUM_EXPLAINING: Final = 16
QUICK_BYTES: Final = 64 * 1024  # some 250 rows, half a millisecond
FOLLOW_S: Final = 1.0
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """The limits of one server; `cache` is where releases are kept while they serve.

    Predictions are logged to the store; releases are read from it too, unless `bundles_uri` names another one. Where
    `place` names a stack, only what its ledger, in the store, allows is loaded.
    """

    deployment: Path
    store_uri: str
    cache: Path
    bundles_uri: str | None = None
    maximum_body_bytes: int = 4 * 1024 * 1024
    maximum_rows: int = 10_000
    body_timeout_s: float = 20.0
    answer_timeout_s: float = 30.0
    maximum_waiting: int = 256
    maximum_held_bytes: int = 64 * 1024 * 1024
    scoring_threads: int = 4
    flush_interval_s: float = 1.0
    rotate_interval_s: float = 60.0
    maximum_log_mb: int | None = None
    problem: Problem = field(default_factory=load_problem)
    place: Place | None = None
    request_log: bool = False
    access: AccessSettings = field(default_factory=AccessSettings)
    vertex: VertexRoutes = field(default_factory=lambda: VertexRoutes.of(os.environ))


class ModelServer:
    """ASGI application that serves the release that the deployment file states."""

    def __init__(self, settings: Settings, peers: Peers | None = None) -> None:
        self._settings = settings
        self._peers = peers
        self._accepts = asyncio.Event()
        self._metrics = ServerMetrics(peers.metrics if peers is not None else None)
        store = Store(settings.store_uri)
        problem = settings.problem
        self.host = ModelHost(
            settings.deployment,
            Store(settings.bundles_uri or settings.store_uri),
            settings.cache,
            settings.maximum_rows,
            problem.canary,
            self._metrics,
            peers,
            partial(_require_allowed, settings) if settings.place else lambda _: None,
        )
        spool = LogSettings(
            settings.deployment.with_name("spool"),
            settings.flush_interval_s,
            settings.rotate_interval_s,
            keep_bytes=settings.maximum_log_mb and settings.maximum_log_mb * 1_000_000,
        )
        self._log = PredictionLog(store, problem, spool, self._metrics)
        self._token = admin_token(settings.deployment)
        self._predictor = Predictor(self.host, self._log, self._metrics)
        self._access = Access(settings.access, self._metrics.observe_access_failure)
        self._bodies = Bodies(settings.maximum_held_bytes)
        self._threads = [ThreadPoolExecutor(settings.scoring_threads, "score"), ThreadPoolExecutor(1, "explain")]
        # Explaining takes a hundred times as long as scoring, which must not wait for it.
        self._scoring, self._explaining = (
            Queue(threads, maximum, settings.answer_timeout_s)
            for threads, maximum in zip(self._threads, (settings.maximum_waiting, MAXIMUM_EXPLAINING), strict=True)
        )
        own = {
            "/ready": {"GET": self._ready},
            "/metrics": {"GET": self._prometheus},
            "/docs": {"GET": self._docs},
            "/openapi.json": {"GET": self._openapi},
            "/admin/reload": {"POST": self._reload},
        }
        self._routes = Routes(
            [
                *native.routes(self),
                Route("/health", {"GET": self._health}, native.refusal, state=_alive),
                *(Route(path, methods, native.refusal) for path, methods in own.items()),
                *invocations.routes(self),
                *mlflow.routes(self),
                *azureml.routes(self),
                *kserve.routes(self),
                *open_inference.routes(self),
                *vertex.routes(self, settings.vertex),  # the last, so that its paths are its own
            ]
        )

        self._tracing = tracing_of(os.environ)
        self._request_log = RequestLog() if settings.request_log else None
        batch = Batch(self.host, self._log, self._metrics)
        self._gateway = Gateway(
            self._routes, self._access, self._bodies, self._metrics, batch, self._tracing, self._request_log
        )
        self._quick_bytes = min(QUICK_BYTES, settings.maximum_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] == "lifespan":
            scope.get("state", {})[OBSERVE] = self._metrics.observe_refusal
            await run_lifespan(receive, send, self._live, self._accepts)
        elif scope["type"] == "http":
            await self._gateway(scope, receive, send)
        else:
            raise ValueError(f"This server speaks HTTP only, not {scope['type']}.")

    def quick(self, scope: Scope, body: bytes, reply: Reply) -> bool:
        """Whether a request was taken without a task of its own, see `Gateway.quick`."""
        return len(body) <= self._quick_bytes and self._gateway.quick(scope, body, reply)

    def write_log(self) -> None:
        """Bring every logged prediction to the store now, where no lifespan does it."""
        self._log.write()

    async def _live(self) -> None:
        """Load the first release; when the server ends, bring every logged prediction to the store."""
        self._log.start()
        try:
            if self._peers is None or not self._peers.committed.exists():
                self._accepts.set()  # one that comes later joins the others when it can serve
            if self._peers is not None:
                await self._peers.listen(self._told)
            await self.host.load_first()
            self._accepts.set()
            gc.freeze()  # what is there by now stays: looking through it again and again would make requests wait
            while True:
                await asyncio.sleep(FOLLOW_S)
                self._metrics.settle()
                if self._peers is not None:
                    self.host.follow()
        finally:
            if self._peers is not None:
                self._peers.close()
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for threads in self._threads:
            threads.shutdown()
        self._access.close()
        self._predictor.close()
        self._log.close()
        for told in (self._tracing, self._request_log):
            if told is not None:
                told.close()

    async def _told(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer another worker."""
        if request["do"] == "state":
            waits = self._accepts.is_set() and self.host.serving is None
            return self._metrics.state() | {"waits": waits}
        if request["do"] == "abort":
            self.host.abort()
            return {}
        deployment = msgspec.convert(request["deployment"], Deployment)
        if request["do"] == "prepare":
            await self.host.prepare(deployment)
        else:
            await self.host.commit(deployment)
        return {}

    async def _others(self) -> list[dict[str, Any]]:
        """What the other workers say of themselves."""
        states = await self._peers.states() if self._peers is not None else []
        return [state for state in states if "error" not in state]

    async def body(self, request: Request) -> bytes:
        """See Service."""
        settings = self._settings
        limits = (settings.maximum_body_bytes, settings.body_timeout_s, self._bodies)
        return await read_body(request.scope, request.receive, *limits)

    async def answer(self, call: Call, request: Request) -> Response:
        """See Service."""
        request_id = request.id
        if not call.explain and held_bytes(request.scope) <= QUICK_BYTES and self._predictor.is_quick:
            return self._predictor.answer(call, request_id)  # in less time than it takes to hand it to a thread
        # In a thread, so that a large batch doesn't hold up /health and small requests.
        queue = self._explaining if call.explain else self._scoring
        return await queue.run(partial(self._predictor.answer, call, request_id))

    async def _health(self, _request: Request) -> Response:
        return _alive()

    async def _ready(self, _request: Request) -> Response:
        host, serving = self.host, self.host.serving
        model = serving.champion if serving else None
        is_ready = model is not None and not any(state["waits"] for state in await self._others())
        state: dict[str, Any] = {
            "ready": is_ready,
            "release": model.release if model else None,
            "model": model.manifest.name if model else None,
            "version": model.manifest.version if model else None,
            "loading": host.loading,
            "error": host.error,
            "challenger": _challenger_state(serving) if serving else None,
        }
        return json_response(200 if is_ready else 503, state)

    async def _prometheus(self, _request: Request) -> Response:
        return Response(200, self._metrics.text(await self._others()), METRICS_TYPE)

    async def _openapi(self, _request: Request) -> Response:
        document = openapi(self.host.current, self._settings.maximum_rows, self._settings.vertex)
        return json_response(200, describe(document, self._access))

    async def _docs(self, _request: Request) -> Response:
        return docs_page()

    async def _reload(self, request: Request) -> Response:
        given = header(request.scope, b"authorization") or ""
        if not secrets.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise RequestRefused(401, "Reloading takes the token that stands beside the deployment file.")
        try:
            serving = await self.host.reload()
        except MlopsError as error:
            raise RequestRefused(409, str(error)) from error
        state = {"release": serving.champion.release, "challenger": _challenger_state(serving)}
        return json_response(200, {"request_id": request.id, **state})


def worker(settings: Settings, folder: Path) -> ModelServer:
    """The application of one worker of several, who talk to each other by the folder."""
    return ModelServer(settings, Peers(folder))


def _require_allowed(settings: Settings, release: str) -> None:
    """Refuse what the ledger doesn't allow, whoever wrote the deployment file."""
    if settings.place is not None:
        store = Store(settings.store_uri)
        require_allowed(store, settings.place.ledger(store), settings.place.rules, release)


def _alive() -> Response:
    return json_response(200, {"status": "alive"})


def _challenger_state(serving: Serving) -> dict[str, Any] | None:
    """The stated challenger and what became of it, None where none is stated."""
    if serving.deployment.challenger is None:
        return None
    state = {**msgspec.to_builtins(serving.deployment.challenger), "state": serving.challenger_state}
    if serving.challenger is not None:
        state["judged"] = serving.challenger.watch.is_judged
    why = serving.returned
    return state | ({"cause": why.cause, "reason": why.reason, "at": why.at.isoformat()} if why else {})
