"""Azure Machine Learning's routes, as azureml-inference-server-http has them: `POST /score`, and `GET /` for liveness.

https://learn.microsoft.com/azure/machine-learning/how-to-inference-server-http. Readiness is /ready, which a deployment
names in its inference configuration. `input_data` is what Azure sends to MLflow models, and is answered with a bare
list of what the bundle's MLflow model predicts; `{"data": [row, …]}` and a native body get the native answer.
"""

from typing import Final

import msgspec

from ml.http.answers import Response, json_response
from ml.model.explain import Explained
from ml.model.model import Scored, ServedModel
from ml.model.requests import RequestRefused, Rows
from ml.serving.hosting.call import Call
from ml.serving.protocols import native
from ml.serving.protocols.body import envelope, error, is_given, json_body, plain, probabilities
from ml.serving.protocols.mlflow import read_rows, require_no_parameters
from ml.serving.protocols.route import Request, Route, Service, require_type

__all__ = ["refusal", "routes"]

SHAPE: Final = '{"input_data": {"columns": [name, …], "data": [[value, …], …]}}'


class InputData(msgspec.Struct, forbid_unknown_fields=True):
    """What Azure sends to an MLflow model that is deployed without code."""

    input_data: msgspec.Raw
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Data(msgspec.Struct, forbid_unknown_fields=True):
    """What Azure's own examples send to a scoring script."""

    data: msgspec.Raw


class _Keys(msgspec.Struct):
    input_data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


INPUT_DATA: Final = msgspec.json.Decoder(InputData)
DATA: Final = msgspec.json.Decoder(Data)
KEYS: Final = msgspec.json.Decoder(_Keys)


def routes(service: Service) -> list[Route]:
    """The routes of this protocol."""

    async def score(request: Request) -> Response:
        require_type(request.scope, default="application/json")
        names = service.host.current.tables.names if service.host.current else []
        return await service.answer(_call(await json_body(service, request), names), request)

    async def alive(_request: Request) -> Response:
        return json_response(200, {"status": "alive"})

    return [Route("/score", {"POST": score}, refusal), Route("/", {"GET": alive}, refusal)]


def refusal(refused: RequestRefused, _request_id: str) -> Response:
    """As azureml-inference-server-http refuses, with each mistake by row and column."""
    response = error(refused, "message")
    response.headers["x-ms-run-function-failed"] = str(refused.status >= 500)
    return response


def _call(body: bytes, names: list[str]) -> Call:
    try:
        keys = KEYS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        keys = _Keys()  # a list of rows, or what the native protocol refuses
    if is_given(keys.input_data) and "input_data" not in names:
        sent = envelope(body, INPUT_DATA, SHAPE)
        require_no_parameters(sent.params)
        data = plain(sent.input_data)
        return Call(lambda model: _read(model, data), _write)
    if is_given(keys.data) and "data" not in names:
        data = plain(envelope(body, DATA, '{"data": [row, …]}').data)
        return Call(lambda model: model.tables.rows(data), native.answer)
    return Call(lambda model: model.read(body), native.answer)


def _read(model: ServedModel, data: bytes) -> Rows:
    """A split table, a list of rows, or columns, as MLflow has them."""
    is_object = data.lstrip()[:1] == b"{"
    is_split = is_object and is_given(KEYS.decode(data).data) and "data" not in model.tables.names
    return read_rows(model.tables, "dataframe_split" if is_split else "inputs", data)


def _write(_model: ServedModel, scored: Scored, _request_id: str, _explained: Explained | None) -> Response:
    return json_response(200, probabilities(scored))
