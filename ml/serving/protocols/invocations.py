"""`POST /invocations`, which SageMaker and MLflow both ask: the content says whose protocol it is."""

import re
from functools import partial
from typing import Final

import msgspec

from ml.serving.call import Call
from ml.serving.http import Response, header, json_response
from ml.serving.model import ServedModel
from ml.serving.protocols import mlflow, native, sagemaker
from ml.serving.protocols.body import envelope, is_given, plain
from ml.serving.protocols.route import JSON, Refuse, Request, Route, Service, media_type
from ml.serving.protocols.sagemaker import CSV, JSON_LINES
from ml.serving.schema import RequestRefused, Rows

__all__ = ["routes"]

TYPES: Final = (JSON, CSV, JSON_LINES, "application/x-jsonlines", "application/x-ndjson")
FEATURES: Final = '{"instances": [{"features": [value, …]}, …]}'
QUALITY: Final = re.compile(r"[01](\.[0-9]{0,3})?")


class _Keys(msgspec.Struct):
    """What tells MLflow's JSON from a native body, other keys aside."""

    dataframe_split: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    dataframe_records: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    instances: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Instances(msgspec.Struct, forbid_unknown_fields=True):
    """SageMaker's own JSON."""

    instances: msgspec.Raw


KEYS: Final = msgspec.json.Decoder(_Keys)
INSTANCES: Final = msgspec.json.Decoder(_Instances)


def routes(service: Service) -> list[Route]:
    """The routes that SageMaker and MLflow share."""

    async def invoke(request: Request) -> Response:
        kind = media_type(request.scope, "")
        if kind not in TYPES:
            raise RequestRefused(415, f"The content type is {kind[:100]!r}. Send {JSON}, {JSON_LINES} or {CSV}.")
        wanted = _accepted(header(request.scope, b"accept"))
        body = await service.body(request)
        is_mlflow = _is_mlflow(body, kind, service.host.current)
        try:
            call = _call(body, kind, is_mlflow)
            return await service.answer(_in(call, wanted or _default(kind, is_mlflow)), request)
        except RequestRefused as refused:
            refuse: Refuse = mlflow.refusal if is_mlflow else native.refusal
            return refuse(refused, request.id)

    async def ping(_request: Request) -> Response:
        if service.host.current is None:
            raise RequestRefused(503, service.host.error or "The release is still being loaded. Try again in a moment.")
        return json_response(200, {"status": "ready"})

    return [Route("/ping", {"GET": ping}, native.refusal), Route("/invocations", {"POST": invoke}, native.refusal)]


def _is_mlflow(body: bytes, kind: str, model: ServedModel | None) -> bool:
    """Whether MLflow's protocol is spoken: one of its keys, or a CSV file whose first line names the columns."""
    names = model.tables.names if model else []
    if kind == CSV:
        return sagemaker.is_named_csv(body, names)
    if kind != JSON:
        return False
    keys = _keys(body)
    if keys is None:
        return False
    given = [key for key in keys.__struct_fields__ if is_given(getattr(keys, key)) and key not in names]
    return bool(given) and not (given == ["instances"] and _has_features(plain(keys.instances), names))


def _keys(body: bytes) -> _Keys | None:
    try:
        return KEYS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _has_features(instances: bytes, names: list[str]) -> bool:
    return "features" not in names and sagemaker.is_features(instances)


def _call(body: bytes, kind: str, is_mlflow: bool) -> Call:
    write = mlflow.write if is_mlflow else native.answer
    if kind == CSV:
        return Call(lambda model: sagemaker.read_csv(model, body), write)
    if kind != JSON:
        return Call(lambda model: sagemaker.read_lines(model, body), write)
    return mlflow.call(body) if is_mlflow else Call(partial(_read_native, body), write)


def _read_native(body: bytes, model: ServedModel) -> Rows:
    """A native body, or SageMaker's `{"instances": [{"features": …}]}`."""
    keys = _keys(body)
    if keys and is_given(keys.instances) and _has_features(plain(keys.instances), model.tables.names):
        return sagemaker.read_features(model, plain(envelope(body, INSTANCES, FEATURES).instances))
    return model.read(body)


def _default(kind: str, is_mlflow: bool) -> str:
    """What is answered to who accepts anything: what was sent, but MLflow always answers JSON."""
    return JSON if is_mlflow else kind


def _in(call: Call, wanted: str) -> Call:
    if wanted == JSON:
        return call
    return call._replace(write=sagemaker.write_csv if wanted == CSV else partial(sagemaker.write_lines, wanted))


def _accepted(accept: str | None) -> str | None:
    """The best of the accepted types, None where any will do; RequestRefused when there is none that we have."""
    ranges = [part.partition(";") for part in (accept or "*/*").lower().split(",") if part.strip()]
    weighed = [(-_weight(parameters), kind.strip()) for kind, _, parameters in ranges]
    for weight, kind in sorted(weighed, key=lambda pair: pair[0]):
        if weight == 0:
            continue
        if kind in TYPES:
            return kind
        if kind in ("*/*", "*"):
            return None
        if kind in ("application/*", "text/*"):
            return JSON if kind == "application/*" else CSV
    raise RequestRefused(
        406, f"The answer can be {JSON}, {JSON_LINES} or {CSV}, but accepted is {(accept or '')[:100]!r}."
    )


def _weight(parameters: str) -> float:
    """The q of an accepted type."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if QUALITY.fullmatch(value.strip()) else 0.0
    return 1.0
