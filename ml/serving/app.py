"""The model server's ASGI application: which path answers what."""

import asyncio
import logging
import re
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from ml.errors import MlopsError
from ml.problem import Problem, load_problem
from ml.serving.deployment import admin_token
from ml.serving.host import ModelHost, Serving
from ml.serving.http import (
    Receive,
    Response,
    Scope,
    Send,
    header,
    json_response,
    read_body,
    run_lifespan,
    send_response,
)
from ml.serving.log import LogSettings, PredictionLog
from ml.serving.metrics import ServerMetrics
from ml.serving.openapi import docs_page, openapi
from ml.serving.predict import Predictor
from ml.serving.schema import RequestRefused
from ml.store import Store

__all__ = ["ModelServer", "Settings"]

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
JSON_TYPE: Final = re.compile(r"application/json\s*(;\s*charset=\"?utf-8\"?\s*)?", re.IGNORECASE)
ROUTE_OTHER: Final = "other"
EXPLAINED: Final = "?explain=true"
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """The limits of one server; `cache` is where releases are kept while they serve."""

    deployment: Path
    store_uri: str
    cache: Path
    maximum_body_bytes: int = 4 * 1024 * 1024
    maximum_rows: int = 10_000
    body_timeout_s: float = 20.0
    scoring_threads: int = 4
    flush_interval_s: float = 1.0
    rotate_interval_s: float = 60.0
    problem: Problem = field(default_factory=load_problem)


class ModelServer:
    """ASGI application that serves the release that the deployment file states."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = ServerMetrics()
        store = Store(settings.store_uri)
        problem = settings.problem
        self.host = ModelHost(
            settings.deployment, store, settings.cache, settings.maximum_rows, problem.canary, self._metrics
        )
        spool = LogSettings(
            settings.deployment.with_name("spool"), settings.flush_interval_s, settings.rotate_interval_s
        )
        self._log = PredictionLog(store, problem, spool, self._metrics)
        self._token = admin_token(settings.deployment)
        self._predictor = Predictor(self.host, self._log, self._metrics)
        self._threads = ThreadPoolExecutor(settings.scoring_threads, thread_name_prefix="score")
        # Explaining takes a hundred times as long as scoring, which must not wait for it.
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._routes: dict[str, dict[str, Callable[[Scope, Receive, str], Awaitable[Response]]]] = {
            "/predict": {"POST": self._predict},
            "/health": {"GET": self._health},
            "/ready": {"GET": self._ready},
            "/metrics": {"GET": self._prometheus},
            "/docs": {"GET": self._docs},
            "/openapi.json": {"GET": self._openapi},
            "/admin/reload": {"POST": self._reload},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] == "lifespan":
            await run_lifespan(receive, send, self._live)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            raise ValueError(f"This server speaks HTTP only, not {scope['type']}.")

    async def _live(self) -> None:
        """Load the first release; when the server ends, bring every logged prediction to the store."""
        self._log.start()
        try:
            await self.host.load_first()
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for threads in (self._threads, self._explaining):
            threads.shutdown()
        self._predictor.close()
        self._log.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request_id = _request_id(scope)
        path = _route(scope) if scope["path"] in self._routes else ROUTE_OTHER
        try:
            response = await self._dispatch(scope, receive, request_id)
        except RequestRefused as refused:
            response = _refusal(refused, request_id)
        except Exception:
            log.exception("Request %s failed", request_id)
            response = _refusal(RequestRefused(500, "The server failed; its log names this request id."), request_id)
        response.headers.setdefault("X-Request-ID", request_id)
        await send_response(send, response, with_body=scope["method"] != "HEAD")
        self._metrics.observe_request(path, response.status, time.perf_counter() - started)

    async def _dispatch(self, scope: Scope, receive: Receive, request_id: str) -> Response:
        methods = self._routes.get(scope["path"])
        if methods is None:
            raise RequestRefused(404, f"There is nothing here. This server has {', '.join(self._routes)}.")
        handler = methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if handler is None:
            allowed = ", ".join(methods)
            return json_response(
                405, {"request_id": request_id, "error": f"{scope['path']} answers {allowed} only."}, Allow=allowed
            )
        return await handler(scope, receive, request_id)

    async def _predict(self, scope: Scope, receive: Receive, request_id: str) -> Response:
        _require_json(scope)
        body = await read_body(scope, receive, self._settings.maximum_body_bytes, self._settings.body_timeout_s)
        # In a thread, so that a large batch doesn't hold up /health and small requests.
        explain = _asks_to_explain(scope)
        work = partial(self._predictor.answer, body, request_id, explain=explain)
        threads = self._explaining if explain else self._threads
        return Response(200, await asyncio.get_running_loop().run_in_executor(threads, work))

    async def _health(self, _scope: Scope, _receive: Receive, _request_id: str) -> Response:
        return json_response(200, {"status": "alive"})

    async def _ready(self, _scope: Scope, _receive: Receive, _request_id: str) -> Response:
        host, serving = self.host, self.host.serving
        model = serving.champion if serving else None
        state: dict[str, Any] = {
            "ready": model is not None,
            "release": model.release if model else None,
            "model": model.manifest.name if model else None,
            "version": model.manifest.version if model else None,
            "loading": host.loading,
            "error": host.error,
            "challenger": _challenger_state(serving) if serving else None,
        }
        return json_response(200 if model else 503, state)

    async def _prometheus(self, _scope: Scope, _receive: Receive, _request_id: str) -> Response:
        return Response(200, self._metrics.text(), METRICS_TYPE)

    async def _openapi(self, _scope: Scope, _receive: Receive, _request_id: str) -> Response:
        return json_response(200, openapi(self.host.current, self._settings.maximum_rows))

    async def _docs(self, _scope: Scope, _receive: Receive, _request_id: str) -> Response:
        return docs_page()

    async def _reload(self, scope: Scope, _receive: Receive, request_id: str) -> Response:
        given = header(scope, b"authorization") or ""
        if not secrets.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise RequestRefused(401, "Reloading takes the token that stands beside the deployment file.")
        try:
            serving = await self.host.reload()
        except MlopsError as error:
            raise RequestRefused(409, str(error)) from error
        state = {"release": serving.champion.release, "challenger": _challenger_state(serving)}
        return json_response(200, {"request_id": request_id, **state})


def _request_id(scope: Scope) -> str:
    given = header(scope, b"x-request-id")
    return given if given and REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _asks_to_explain(scope: Scope) -> bool:
    """What the query says of `explain`: true or false, and nothing else."""
    given = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True).get("explain", ["false"])
    if len(given) != 1 or given[0] not in ("true", "false"):
        raise RequestRefused(422, f"explain is {given[0][:60]!r}: it must be true or false.")
    return given[0] == "true"


def _route(scope: Scope) -> str:
    """The path as metrics count it: explained requests take so much longer that they are a route of their own."""
    return f"{scope['path']}{EXPLAINED}" if scope.get("query_string") == EXPLAINED[1:].encode() else scope["path"]


def _challenger_state(serving: Serving) -> dict[str, Any] | None:
    """The stated challenger and what became of it, None where none is stated."""
    if serving.deployment.challenger is None:
        return None
    state = {**msgspec.to_builtins(serving.deployment.challenger), "state": serving.challenger_state}
    why = serving.returned
    return state | ({"cause": why.cause, "reason": why.reason, "at": why.at.isoformat()} if why else {})


def _require_json(scope: Scope) -> None:
    given = header(scope, b"content-type") or ""
    if not JSON_TYPE.fullmatch(given.strip()):
        raise RequestRefused(415, f"The content type is {given[:100]!r}. Send application/json in UTF-8.")
    if header(scope, b"content-encoding") not in (None, "identity"):
        raise RequestRefused(415, "The body is compressed. Send it as it is.")


def _refusal(refused: RequestRefused, request_id: str) -> Response:
    body: dict[str, Any] = {"request_id": request_id, "error": refused.message}
    if refused.mistakes:
        body["mistakes"] = msgspec.to_builtins(refused.mistakes)
    return json_response(refused.status, body, **({"WWW_Authenticate": "Bearer"} if refused.status == 401 else {}))
