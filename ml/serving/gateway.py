"""What every request passes before and after its route: who asks, an id, a refusal in words, metrics, log and trace."""

import asyncio
import logging
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from ml.access.check import PROBES, Access
from ml.http.answers import Message, Receive, Response, Scope, Send, header, send_response
from ml.http.capacity import Bodies
from ml.http.front import SPARE, Reply
from ml.http.request_log import Line, RequestLog
from ml.model.requests import RequestRefused
from ml.serving.hosting.batch import Batch, Waiting
from ml.serving.protocols import native
from ml.serving.protocols.route import Refuse, Request, Route, Routes
from ml.serving.telemetry.metrics import ServerMetrics
from ml.serving.telemetry.tracing import Tracing, trace_id

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["Gateway"]

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
ROUTE_OTHER: Final = "other"
EXPLAINED: Final = "?explain=true"
ALWAYS: Final = (*PROBES, "/metrics", "/admin/reload")  # answered on spare connections too
CALLER: Final = "mlops_caller"
RETRY_LATER: Final = (429, 503)
RETRY_AFTER_S: Final = "1"

log = logging.getLogger(__name__)


class _Pending(NamedTuple):
    """A request that is answered in this round of the loop."""

    route: Route
    request: Request
    reply: Reply
    started: float


class Gateway:
    """Answers HTTP requests by a routing table; whatever happens, the answer is one, and counted."""

    def __init__(
        self,
        routes: Routes,
        access: Access,
        bodies: Bodies,
        metrics: ServerMetrics,
        batch: Batch,
        tracing: Tracing | None = None,
        request_log: RequestLog | None = None,
    ) -> None:
        self._tracing = tracing
        self._request_log = request_log
        self._routes = routes
        self._access = access
        self._bodies = bodies
        self._metrics = metrics
        self._batch = batch

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
            await send_response(send, _completed(response), request.id, with_body=scope["method"] != "HEAD")
        finally:
            self._metrics.in_flight -= 1
            self._bodies.let_go(scope)
        self._record(request, label, response.status, time.perf_counter() - started, span)

    def quick(self, scope: Scope, body: bytes, reply: Reply) -> bool:
        """Whether a request with a whole body is taken without a task: `reply` is called in this round of the loop.

        What is not taken is answered by `__call__`, and the other way round in the same words.
        """
        started = time.perf_counter()
        route = self._routes.plain(scope["path"])
        if route is None or self._tracing:
            return False
        if route.state is not None and scope["method"] == "GET":  # a probe's, which is open, on spare connections too
            self._done(_Pending(route, Request(scope, _no_more, _request_id(scope), {}), reply, started), route.state())
            return True
        model = self._batch.model
        if route.call is None or scope["method"] != "POST" or model is None:
            return False
        request = Request(scope, _no_more, _request_id(scope), {})
        pending = _Pending(route, request, reply, started)
        try:
            self._refuse_spare(scope, route)
            self._batch.refuse_late(started)
            self._bodies.refuse_beyond(len(body))
            self._let_in(route, request)
            call = route.call(scope, body)
            if call.explain:
                return False
            waiting = Waiting(model, call.read(model), call, request.id, self._done, pending)
        except Exception as error:
            self._done(pending, error)
        else:
            self._batch.add(waiting)
        return True

    def _done(self, pending: "_Pending", answer: Response | Exception) -> None:
        route, request, reply, started = pending
        response = answer if isinstance(answer, Response) else self._failure(answer, route.refuse, request)
        reply(_completed(response), request.id)
        self._record(request, _label(route, request.scope), response.status, time.perf_counter() - started, None)

    def _record(self, request: Request, label: str, status: int, duration_s: float, span: "Span | None") -> None:
        self._metrics.observe_request(label, status, duration_s)
        if span is not None and self._tracing is not None:
            self._tracing.end(span, status)
        if self._request_log is not None:
            self._request_log.put(_line(request, label, status, duration_s, span))

    async def _answer(self, route: Route | None, request: Request) -> Response:
        refuse = route.refuse if route else native.refusal
        try:
            return await self._dispatch(route, request)
        except asyncio.CancelledError:  # the time to finish what was under way is over
            return refuse(RequestRefused(503, "The server is being ended. Ask again."), request.id)
        except Exception as error:
            return self._failure(error, refuse, request)

    def _failure(self, error: Exception, refuse: Refuse, request: Request) -> Response:
        if isinstance(error, RequestRefused):
            return refuse(error, request.id)
        log.error("Request %s failed", request.id, exc_info=error)
        return refuse(RequestRefused(500, "The server failed; its log names this request id."), request.id)

    def _refuse_spare(self, scope: Scope, route: Route | None) -> None:
        if scope.get("state", {}).get(SPARE) and (route is None or route.path not in ALWAYS):
            raise RequestRefused(503, "The server has as many connections as it takes. Try again in a moment.")

    def _let_in(self, route: Route | None, request: Request) -> None:
        if not self._access.is_asked_for:
            return
        caller = self._access.caller(request.scope, route.path if route else ROUTE_OTHER)
        if caller is not None:
            request.scope[CALLER] = caller

    async def _dispatch(self, route: Route | None, request: Request) -> Response:
        self._refuse_spare(request.scope, route)
        self._let_in(route, request)
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


def _completed(response: Response) -> Response:
    """An answer with the headers that its status asks for."""
    if response.status in RETRY_LATER:
        response.headers.setdefault("Retry-After", RETRY_AFTER_S)
    elif response.status == 401:
        response.headers.setdefault("WWW-Authenticate", "Bearer")
    return response


async def _no_more() -> Message:
    return {"type": "http.disconnect"}  # the body was there as a whole


def _random_ids() -> Iterator[str]:
    """Random ids of 32 hexadecimal digits; one call of the system gives many."""
    while True:
        digits = os.urandom(16 * 256).hex()
        yield from (digits[start : start + 32] for start in range(0, len(digits), 32))


def _request_id(scope: Scope) -> str:
    given = header(scope, b"x-request-id")
    return given if given and REQUEST_ID.fullmatch(given) else next(RANDOM_IDS)


RANDOM_IDS: Final = _random_ids()


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
