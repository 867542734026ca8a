"""The project's own protocol: `POST /predict`, with the release's digest in every answer."""

from typing import Any
from urllib.parse import parse_qs

import msgspec

from ml.http.answers import Response, Scope, json_response
from ml.model.explain import Explained
from ml.model.model import Scored, ServedModel
from ml.model.requests import RequestRefused
from ml.serving.hosting.call import Call
from ml.serving.protocols.route import Request, Route, Service, require_type

__all__ = ["answer", "refusal", "routes"]


def routes(service: Service) -> list[Route]:
    """The routes of this protocol."""

    async def predict(request: Request) -> Response:
        require_type(request.scope)  # before the body is read
        body = await service.body(request)
        return await service.answer(_call(request.scope, body), request)

    return [Route("/predict", {"POST": predict}, refusal, _call)]


def _call(scope: Scope, body: bytes) -> Call:
    require_type(scope)
    return Call(lambda model: model.read(body), answer, _asks_to_explain(scope))


def answer(model: ServedModel, scored: Scored, request_id: str, explained: Explained | None) -> Response:
    """An Answer as JSON."""
    return Response(200, model.encode(scored, request_id, explained))


def refusal(refused: RequestRefused, request_id: str) -> Response:
    """What is wrong, in a sentence, and each mistake by row and column."""
    body: dict[str, Any] = {"request_id": request_id, "error": refused.message}
    if refused.mistakes:
        body["mistakes"] = msgspec.to_builtins(refused.mistakes)
    return json_response(refused.status, body, **({"WWW_Authenticate": "Bearer"} if refused.status == 401 else {}))


def _asks_to_explain(scope: Scope) -> bool:
    """What the query says of `explain`: true or false, and nothing else."""
    query = scope.get("query_string", b"")
    if not query:
        return False
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("explain", ["false"])
    if len(given) != 1 or given[0] not in ("true", "false"):
        raise RequestRefused(422, f"explain is {given[0][:60]!r}: it must be true or false.")
    return given[0] == "true"
