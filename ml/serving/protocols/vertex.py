"""Vertex AI's contract for a container: the routes that it names, `instances` in and `predictions` out.

https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements. AIP_HEALTH_ROUTE and
AIP_PREDICT_ROUTE name the routes; one that another protocol has otherwise is Vertex AI's then.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, Self

import msgspec

from ml.errors import InputRefused
from ml.http.answers import Response, json_response
from ml.model.explain import Explained
from ml.model.model import Scored, ServedModel
from ml.model.requests import RequestRefused
from ml.serving.hosting.call import Call
from ml.serving.protocols.body import envelope, json_body, plain, predictions, status_of
from ml.serving.protocols.route import Request, Route, Service, require_type

__all__ = ["VertexRoutes", "refusal", "routes"]

SHAPE: Final = '{"instances": [row, …]}, where "parameters": {"explain": true} asks for reasons'
# google.rpc.Code, by status.
CODES: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class VertexRoutes(NamedTuple):
    """The paths that Vertex AI asks; None elsewhere."""

    health: str | None = None
    predict: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """What Vertex AI sets in a container; InputRefused for what is no path."""
        routes = cls(environment.get("AIP_HEALTH_ROUTE") or None, environment.get("AIP_PREDICT_ROUTE") or None)
        for path in routes:
            if path is not None and (not path.startswith("/") or "{" in path):
                raise InputRefused(f"AIP_HEALTH_ROUTE or AIP_PREDICT_ROUTE is {path!r}: a path begins with a slash.")
        if routes.health is not None and routes.health == routes.predict:
            raise InputRefused(f"AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE are both {routes.health}.")
        return routes


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    """What a request may say beside its rows."""

    explain: bool | None = None


class Instances(msgspec.Struct, forbid_unknown_fields=True):
    """The body."""

    instances: msgspec.Raw
    parameters: Parameters | None = None


BODY: Final = msgspec.json.Decoder(Instances)


def routes(service: Service, paths: VertexRoutes) -> list[Route]:
    """The routes of this protocol, none outside Vertex AI."""

    async def predict(request: Request) -> Response:
        require_type(request.scope, default="application/json")
        sent = envelope(await json_body(service, request), BODY, SHAPE)
        explain = sent.parameters is not None and sent.parameters.explain is True
        data = plain(sent.instances)
        return await service.answer(Call(lambda model: model.tables.rows(data), _write, explain), request)

    async def health(_request: Request) -> Response:
        if service.host.current is None:
            raise RequestRefused(503, service.host.error or "The release is still being loaded. Try again in a moment.")
        return json_response(200, {"status": "ready"})

    found = [Route(paths.health, {"GET": health}, refusal)] if paths.health else []
    return [*found, Route(paths.predict, {"POST": predict}, refusal)] if paths.predict else found


def refusal(refused: RequestRefused, _request_id: str) -> Response:
    """Google's error shape, with each mistake as a field violation of google.rpc.BadRequest."""
    status = status_of(refused)
    error: dict[str, object] = {"code": status, "message": refused.message, "status": _code(status)}
    if refused.mistakes:
        violations = [
            {
                "field": f"instances[{mistake.row}]" + (f".{mistake.column}" if mistake.column else ""),
                "description": f"expected {mistake.expected}, got {mistake.got}",
            }
            for mistake in refused.mistakes
        ]
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}]
    return json_response(status, {"error": error})


def _code(status: int) -> str:
    return CODES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")


def _write(_model: ServedModel, scored: Scored, _request_id: str, explained: Explained | None) -> Response:
    return json_response(200, {"predictions": predictions(scored, explained)})
