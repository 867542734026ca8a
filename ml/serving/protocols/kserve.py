"""KServe's first protocol: `POST /v1/models/<name>:predict`, and what serves.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
"""

from typing import Final

import msgspec

from ml.http.answers import Response, json_response
from ml.model.explain import Explained
from ml.model.model import Scored, ServedModel
from ml.model.requests import RequestRefused
from ml.serving.hosting.call import Call
from ml.serving.protocols.body import envelope, error, is_given, json_body, plain, predictions, require_model
from ml.serving.protocols.route import Request, Route, Service, require_type

__all__ = ["refusal", "routes"]

SHAPE: Final = '{"instances": [row, …]}'


class Instances(msgspec.Struct, forbid_unknown_fields=True):
    """The body: rows under either of two keys."""

    instances: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


BODY: Final = msgspec.json.Decoder(Instances)


def routes(service: Service) -> list[Route]:
    """The routes of this protocol."""

    async def models(_request: Request) -> Response:
        model = service.host.current
        return json_response(200, {"models": [model.manifest.name] if model else []})

    async def ready(request: Request) -> Response:
        model = require_model(service.host.current, request.parameters["model"])
        return json_response(200, {"name": model.manifest.name, "ready": True})

    async def predict(request: Request) -> Response:
        require_type(request.scope, default="application/json")
        require_model(service.host.current, request.parameters["model"])
        sent = envelope(await json_body(service, request), BODY, SHAPE)
        if is_given(sent.instances) == is_given(sent.inputs):
            raise RequestRefused(422, f"The body must be {SHAPE}, got none or both of instances and inputs.")
        data = plain(sent.instances if is_given(sent.instances) else sent.inputs)
        return await service.answer(Call(lambda model: model.tables.rows(data), _write), request)

    return [
        Route("/v1/models", {"GET": models}, refusal),
        Route("/v1/models/{model}", {"GET": ready}, refusal),
        Route("/v1/models/{model}:predict", {"POST": predict}, refusal),
    ]


def refusal(refused: RequestRefused, _request_id: str) -> Response:
    """As KServe refuses, with each mistake by row and column."""
    return error(refused, "error")


def _write(_model: ServedModel, scored: Scored, _request_id: str, _explained: Explained | None) -> Response:
    return json_response(200, {"predictions": predictions(scored)})
