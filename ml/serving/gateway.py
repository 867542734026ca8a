"""What every request passes before and after its route: who asks, an id, a refusal in words, metrics, log and trace."""

import asyncio
import logging
import os
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ml.serving.access.check import PROBES, Access
from ml.serving.capacity import Bodies
from ml.serving.connection import SPARE
from ml.serving.http import Receive, Response, Scope, Send, header, send_response
from ml.serving.metrics import ServerMetrics
from ml.serving.protocols import native
from ml.serving.protocols.route import Request, Route, Routes
from ml.serving.request_log import Line, RequestLog
from ml.serving.schema import RequestRefused
from ml.serving.tracing import Tracing, trace_id

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["Gateway"]

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
ROUTE_OTHER: Final = "other"
EXPLAINED: Final = "?explain=true"
ALWAYS: Final = (*PROBES, "/metrics", "/admin/reload")  # answered on reserved connections too
CALLER: Final = "mlops_caller"
RETRY_LATER: Final = (429, 503)
RETRY_AFTER_S: Final = "1"

log = logging.getLogger(__name__)


class Gateway:
    """Answers HTTP requests by a routing table; whatever happens, the answer is one, and counted."""

    def __init__(
        self,
        routes: Routes,
        access: Access,
        bodies: Bodies,
        metrics: ServerMetrics,
        tracing: Tracing | None = None,
        request_log: RequestLog | None = None,
    ) -> None:
        self._tracing = tracing
        self._request_log = request_log
        self._routes = routes
        self._access = access
        self._bodies = bodies
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        route, parameters = self._routes.find(scope["path"])
        label = _label(route, scope)
        request = Request(scope, receive, _request_id(scope), parameters)
        span = self._tracing.begin(scope, label, request.id) if self._tracing else None
        self._metrics.in_flight += 1
        try:
            response = await self._answer(route, request)
            if response.status in RETRY_LATER:
                response.headers.setdefault("Retry-After", RETRY_AFTER_S)
            elif response.status == 401:
                response.headers.setdefault("WWW-Authenticate", "Bearer")
            await send_response(send, response, request.id, with_body=scope["method"] != "HEAD")
        finally:
            self._metrics.in_flight -= 1
            self._bodies.let_go(scope)
        duration_s = time.perf_counter() - started
        self._metrics.observe_request(label, response.status, duration_s)
        if span is not None and self._tracing is not None:
            self._tracing.end(span, response.status)
        if self._request_log is not None:
            self._request_log.put(_line(request, label, response.status, duration_s, span))

    async def _answer(self, route: Route | None, request: Request) -> Response:
        refuse = route.refuse if route else native.refusal
        try:
            return await self._dispatch(route, request)
        except RequestRefused as refused:
            return refuse(refused, request.id)
        except asyncio.CancelledError:  # the time to finish what was under way is over
            return refuse(RequestRefused(503, "The server is being ended. Ask again."), request.id)
        except Exception:
            log.exception("Request %s failed", request.id)
            return refuse(RequestRefused(500, "The server failed; its log names this request id."), request.id)

    async def _dispatch(self, route: Route | None, request: Request) -> Response:
        if request.scope.get("state", {}).get(SPARE) and (route is None or route.path not in ALWAYS):
            raise RequestRefused(503, "The server has as many connections as it takes. Try again in a moment.")
        caller = self._access.caller(request.scope, route.path if route else ROUTE_OTHER)
        if caller is not None:
            request.scope[CALLER] = caller
        if route is None:
            raise RequestRefused(404, f"There is nothing here. This server has {', '.join(self._routes.paths)}.")
        method = request.scope["method"]
        handler = route.methods.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = ", ".join(route.methods)
            response = route.refuse(RequestRefused(405, f"{route.path} answers {allowed} only."), request.id)
            response.headers["Allow"] = allowed
            return response
        return await handler(request)


def _request_id(scope: Scope) -> str:
    given = header(scope, b"x-request-id")
    return given if given and REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def _label(route: Route | None, scope: Scope) -> str:
    """The path as metrics count it: explained requests take so much longer that they are a route of their own."""
    if route is None:
        return ROUTE_OTHER
    return f"{route.path}{EXPLAINED}" if scope.get("query_string") == EXPLAINED[1:].encode() else route.path


def _line(request: Request, route: str, status: int, duration_s: float, span: "Span | None") -> Line:
    scope = request.scope
    return Line(
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        request_id=request.id,
        method=scope["method"],
        route=route,
        status=status,
        duration_ms=round(duration_s * 1000, 3),
        caller=scope.get(CALLER),
        trace_id=trace_id(span) if span is not None else None,
    )
