"""The experts' web page: sign in, look at a case, confirm or overrule it. Also where labels arrive by API."""

import asyncio
import base64
import binascii
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml.errors import InputRefused
from ml.feedback._incoming import from_request
from ml.feedback.accounts import Accounts
from ml.feedback.labels import add_labels
from ml.feedback.queue import Case, CaseTaken, ReviewQueue
from ml.feedback.reasons import Reasons
from ml.feedback.web.session import (
    MAXIMUM_AGE_S,
    Brake,
    Ended,
    SignedOut,
    csrf_token,
    current_user,
    form,
    read_body,
    sign_in,
)
from ml.feedback.web.view import case_view
from ml.problem import Problem
from ml.secret import environment_key
from ml.store import Store

__all__ = ["review_app"]

HERE: Final = Path(__file__).parent
SESSION_KEY: Final = "review/session/cookie.key"
REFRESH_S: Final = 60.0
LABEL_BYTES: Final = 4 * 1024 * 1024
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # with none, a browser says of its own forms too that they come from nowhere
    "X-Content-Type-Options": "nosniff",
}

log = logging.getLogger(__name__)


def review_app(store: Store, problem: Problem, *, secure_cookie: bool) -> Starlette:
    """The page as an ASGI application; with `secure_cookie` the session is sent over HTTPS alone."""
    pages = _Pages(store, problem)
    return Starlette(
        routes=[
            Route("/", pages.waiting),
            Route("/sign-in", pages.sign_in_page, methods=["GET"]),
            Route("/sign-in", pages.sign_in, methods=["POST"]),
            Route("/sign-out", pages.sign_out, methods=["POST"]),
            Route("/cases/{case}", pages.show, methods=["GET"]),
            Route("/cases/{case}", pages.decide, methods=["POST"]),
            Route("/labels", pages.labels, methods=["POST"]),
            Route("/health", pages.health),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[
            Middleware(_SafeHeaders),
            Middleware(
                SessionMiddleware,
                secret_key=environment_key(store, SESSION_KEY).hex(),
                session_cookie="__Host-review" if secure_cookie else "review",
                max_age=MAXIMUM_AGE_S,
                same_site="strict",
                https_only=secure_cookie,
            ),
        ],
        exception_handlers={
            SignedOut: pages.to_sign_in,
            CaseTaken: pages.taken,
            InputRefused: pages.refused,
            HTTPException: pages.failed,
            500: pages.broken,
        },
        lifespan=pages.lifespan,
    )


class _SafeHeaders:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class _Pages:
    def __init__(self, store: Store, problem: Problem) -> None:
        self._store, self._problem = store, problem
        self._queue, self._accounts = ReviewQueue(store, problem), Accounts(store)
        self._reasons, self._brake, self._ended = Reasons(store, problem), Brake(), Ended()
        self._checking = asyncio.Semaphore(2)  # Argon2 takes 64 MB a time: a flood of passwords must not take it all
        environment = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._templates = Jinja2Templates(env=environment)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncGenerator[None]:
        refreshing = asyncio.create_task(self._refresh())
        yield
        refreshing.cancel()

    async def _refresh(self) -> None:
        while True:
            try:
                await run_in_threadpool(self._queue.refresh, datetime.now(UTC))
            except Exception:  # the store is away for a while: the page goes on with the queue it has
                log.exception("The queue was not refreshed")
            await asyncio.sleep(REFRESH_S)

    async def waiting(self, request: Request) -> Response:
        user = await self._user(request)
        cases = await run_in_threadpool(self._queue.cases)
        return self._page(request, "waiting.html", user=user, views=[self._summary(case) for case in cases])

    async def show(self, request: Request) -> Response:
        user = await self._user(request)
        return await self._case_page(request, user)

    async def decide(self, request: Request) -> Response:
        user = await self._user(request)
        fields = await form(request)
        verdict, note, case = fields.get("verdict"), fields.get("note", ""), request.path_params["case"]
        if verdict not in ("confirm", "overrule"):
            raise HTTPException(400, "A case is confirmed or overruled.")
        cases = await run_in_threadpool(self._queue.cases)
        try:
            done = await run_in_threadpool(
                self._queue.decide, case, verdict, user, note.replace("\r\n", "\n"), datetime.now(UTC)
            )
        except CaseTaken:
            raise
        except InputRefused as refused:  # shown beside what was typed, which must not be lost
            return await self._case_page(request, user, error=str(refused), note=note, status=422)
        did = "confirmed" if verdict == "confirm" else "overruled"
        meaning = self._problem.target.codes[done.label]
        request.session["flash"] = f"Case {case[:8]} {did}: labelled “{meaning}”."
        following = _after(cases, case)
        return RedirectResponse(f"/cases/{following}" if following else "/", 303)

    async def sign_in_page(self, request: Request) -> Response:
        return self._page(request, "sign_in.html", user=None, name="", error=None)

    async def sign_in(self, request: Request) -> Response:
        fields = await form(request)
        name, password = fields.get("name", "").strip().lower(), fields.get("password", "")
        stamp = await self._checked(name, password)
        if stamp is None:
            error = (
                "That name and password don't belong together. After five wrong ones, a name has to wait five minutes."
            )
            return self._page(request, "sign_in.html", 401, user=None, name=name, error=error)
        sign_in(request, name, stamp)
        return RedirectResponse("/", 303)

    async def sign_out(self, request: Request) -> Response:
        await form(request)
        self._ended.end(request)
        return RedirectResponse("/sign-in", 303)

    async def labels(self, request: Request) -> Response:
        """Labels by API; the caller shows an account by HTTP Basic, and no cookie counts."""
        author = await self._basic(request)
        body = await read_body(request, LABEL_BYTES)

        def take() -> dict[str, Any]:
            now = datetime.now(UTC)
            report = add_labels(self._store, self._problem, from_request(body), "api", author, now)
            return report.model_dump(mode="json", exclude={"kept_in"})

        try:
            return JSONResponse(await run_in_threadpool(take))
        except InputRefused as refused:
            return JSONResponse({"error": str(refused)}, 422)

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def to_sign_in(self, request: Request, error: Exception) -> Response:
        return RedirectResponse("/sign-in", 303)

    async def taken(self, request: Request, error: Exception) -> Response:
        return await self._message(request, 409, "This case is no longer open", str(error))

    async def refused(self, request: Request, error: Exception) -> Response:
        return await self._message(request, 422, "That can't be done", str(error))

    async def failed(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 # what it is registered for
        if request.url.path == "/labels":
            return JSONResponse({"error": error.detail}, error.status_code, error.headers)
        return await self._message(request, error.status_code, "That can't be done", error.detail)

    async def broken(self, request: Request, error: Exception) -> Response:
        return Response("The page failed; its log says why. Nothing was decided.", 500, media_type="text/plain")

    async def _user(self, request: Request) -> str:
        if self._ended.holds(request):
            request.session.clear()
            raise SignedOut
        return await current_user(request, self._accounts)

    async def _checked(self, name: str, password: str) -> str | None:
        """The stamp of an account whose password that is."""
        async with self._checking:
            if self._brake.holds(name):  # asked when it is this one's turn: guesses may come all at once
                return None
            matches = await run_in_threadpool(self._accounts.check, name, password)
            if not matches:
                self._brake.failed(name)
                return None
        self._brake.succeeded(name)
        return await run_in_threadpool(self._accounts.stamp, name)

    async def _basic(self, request: Request) -> str:
        kind, _, encoded = request.headers.get("authorization", "").partition(" ")
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name, password = "", ""
        if kind.lower() != "basic" or await self._checked(name, password) is None:
            raise HTTPException(401, "Show an account by HTTP Basic.", {"WWW-Authenticate": 'Basic realm="labels"'})
        return name

    async def _case_page(
        self, request: Request, user: str, *, error: str | None = None, note: str = "", status: int = 200
    ) -> Response:
        def load() -> dict[str, Any]:
            cases = self._queue.cases()
            case = self._queue.find(request.path_params["case"])
            row = self._queue.row(case)
            reasons, are_coming = self._reasons.beside(case, row)
            view = case_view(self._problem, case, row | {"reasons": reasons})
            following = _after(cases, case.case)
            return {"view": view, "are_coming": are_coming, "waiting": len(cases), "following": following}

        found = await run_in_threadpool(load)
        return self._page(request, "case.html", status, user=user, error=error, note=note, **found)

    def _summary(self, case: Case) -> dict[str, Any]:
        return {"case": case, "view": case_view(self._problem, case, {})}

    async def _message(self, request: Request, status: int, title: str, text: str) -> Response:
        try:
            user = await self._user(request)
        except SignedOut:
            user = None
        return self._page(request, "message.html", status, user=user, heading=title, text=text)

    def _page(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        flash = request.session.pop("flash", None)
        context |= {"problem": self._problem, "csrf": csrf_token(request), "flash": flash}
        return self._templates.TemplateResponse(request, template, context, status)


def _after(cases: list[Case], case_id: str) -> str | None:
    """The case behind that one in the queue, from the start again at its end; None when there is no other."""
    names = [case.case for case in cases]
    others = [name for name in names if name != case_id]
    if case_id in names and (behind := names[names.index(case_id) + 1 :]):
        return behind[0]
    return others[0] if others else None
