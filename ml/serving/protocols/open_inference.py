"""The Open Inference Protocol (KServe's second, Triton's) over REST, with the binary tensor data extension.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol. The model takes one tensor a column,
or a single one of shape [rows, columns], and gives a `score` and a `decision` a row.
"""

from functools import partial
from importlib.metadata import version
from typing import Any, Final

import msgspec

from ml.http.answers import Response, Scope, header, json_response
from ml.model.explain import Explained
from ml.model.model import Scored, ServedModel
from ml.model.requests import RequestRefused
from ml.serving.hosting.call import Call
from ml.serving.protocols import tensors
from ml.serving.protocols.body import as_json, envelope, error, require_model
from ml.serving.protocols.route import JSON, Request, Route, Service, media_type
from ml.serving.protocols.tensors import OUTPUTS, Tensor

__all__ = ["refusal", "routes"]

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
BINARY: Final = "application/octet-stream"
SHAPE: Final = '{"inputs": [{"name": …, "shape": [rows], "datatype": "INT64", "data": [value, …]}, …]}'


class Output(msgspec.Struct):
    """One output that is asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class Inference(msgspec.Struct):
    """A request; parameters that we don't know are left to the extensions that do, as the protocol has it."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Output] | None = None


BODY: Final = msgspec.json.Decoder(Inference)


def routes(service: Service) -> list[Route]:
    """The routes of this protocol."""

    def asked(request: Request) -> ServedModel:
        return require_model(service.host.current, request.parameters["model"], request.parameters.get("version"))

    async def server(_request: Request) -> Response:
        extensions = ["binary_tensor_data"]
        return json_response(
            200, {"name": "mlops-reference", "version": version("mlops-reference"), "extensions": extensions}
        )

    async def live(_request: Request) -> Response:
        return json_response(200, {"live": True})

    async def ready(_request: Request) -> Response:
        is_ready = service.host.current is not None
        return json_response(200 if is_ready else 503, {"ready": is_ready})

    async def models(_request: Request) -> Response:
        model = service.host.current
        return json_response(200, {"models": [model.manifest.name] if model else []})

    async def metadata(request: Request) -> Response:
        return json_response(200, _metadata(asked(request)))

    async def model_ready(request: Request) -> Response:
        return json_response(200, {"name": asked(request).manifest.name, "ready": True})

    async def infer(request: Request) -> Response:
        asked(request)
        if media_type(request.scope, JSON) not in (JSON, BINARY):
            raise RequestRefused(415, f"Send {JSON}, or {BINARY} with the header {HEADER_LENGTH}.")
        body = await service.body(request)
        length = _header_length(request.scope, body)
        call = _call(body[:length], body[length:])
        return await service.answer(call._replace(pinned="version" in request.parameters), request)

    model = "/v2/models/{model}"
    own = {"": metadata, "/ready": model_ready}
    return [
        *(Route(path, {"GET": server}, refusal) for path in ("/v2", "/v2/")),
        Route("/v2/health/live", {"GET": live}, refusal),
        Route("/v2/health/ready", {"GET": ready}, refusal),
        Route("/v2/models", {"GET": models}, refusal),
        *(
            Route(f"{base}{path}", {"GET": handler}, refusal)
            for base in (model, f"{model}/versions/{{version}}")
            for path, handler in own.items()
        ),
        *(Route(f"{base}/infer", {"POST": infer}, refusal) for base in (model, f"{model}/versions/{{version}}")),
    ]


def refusal(refused: RequestRefused, _request_id: str) -> Response:
    """As KServe and Triton refuse, with each mistake by row and column."""
    return error(refused, "error")


def _header_length(scope: Scope, body: bytes) -> int:
    """Where the JSON ends and binary tensors begin."""
    given = header(scope, HEADER_LENGTH.lower().encode())
    if given is None:
        return len(body)
    if not given.isdecimal() or not given.isascii() or int(given[:20]) > len(body):
        raise RequestRefused(400, f"{HEADER_LENGTH} is {given[:60]!r}; the body has {len(body)} bytes.")
    return int(given)


def _call(json: bytes, binary: bytes) -> Call:
    sent = envelope(as_json(json), BODY, SHAPE)
    unknown = [output.name[:60] for output in sent.outputs or [] if output.name not in OUTPUTS]
    if unknown:
        raise RequestRefused(422, f"There is no output {unknown[0]!r}; the model gives {' and '.join(OUTPUTS)}.")
    return Call(lambda model: tensors.rows(model, sent.inputs, binary), partial(_write, sent))


def _write(
    sent: Inference, model: ServedModel, scored: Scored, request_id: str, _explained: Explained | None
) -> Response:
    arrays = tensors.outputs(scored)
    wanted = sent.outputs or [Output(name) for name in OUTPUTS]
    by_default = (sent.parameters or {}).get("binary_data_output") is True
    described: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for output in wanted:
        array = arrays[output.name]
        tensor: dict[str, Any] = {"name": output.name, "datatype": OUTPUTS[output.name], "shape": list(array.shape)}
        is_binary = (output.parameters or {}).get("binary_data")
        if by_default if is_binary is None else is_binary is True:
            binary.append(array.tobytes())
            tensor["parameters"] = {"binary_data_size": array.nbytes}
        else:
            tensor["data"] = array.tolist()
        described.append(tensor)
    answer = {
        "model_name": model.manifest.name,
        "model_version": model.manifest.version,
        "id": sent.id if sent.id is not None else request_id,
        "parameters": {"release": model.release},
        "outputs": described,
    }
    if not binary:
        return json_response(200, answer)
    text = msgspec.json.encode(answer)
    return Response(200, text + b"".join(binary), BINARY, {HEADER_LENGTH: str(len(text))})


def _metadata(model: ServedModel) -> dict[str, Any]:
    kind = tensors.column_type(model)
    return {
        "name": model.manifest.name,
        "versions": [model.manifest.version],
        "platform": "mlflow_sklearn",
        "inputs": [{"name": name, "datatype": kind, "shape": [-1]} for name in model.tables.names],
        "outputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in OUTPUTS.items()],
    }
