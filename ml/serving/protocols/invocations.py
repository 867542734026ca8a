"""`POST /invocations`, which SageMaker and MLflow both ask: the content says whose protocol it is."""

import re
from functools import partial
from typing import Final

import msgspec

from ml.http.answers import Response, Scope, json_response
from ml.model.model import ServedModel
from ml.model.requests import RequestRefused, Rows, decoded
from ml.model.tables import LISTS
from ml.serving.hosting.call import Call
from ml.serving.protocols import mlflow, native, sagemaker
from ml.serving.protocols.body import envelope, is_given, json_of, plain
from ml.serving.protocols.npy import NPY, is_npy, read_npy, write_npy
from ml.serving.protocols.route import JSON, Refuse, Request, Route, Service, media_type
from ml.serving.protocols.sagemaker import CSV, JSON_LINES

__all__ = ["routes"]

TYPES: Final = (JSON, CSV, JSON_LINES, "application/x-jsonlines", "application/x-ndjson", NPY)
OFFERED: Final = f"{JSON}, {JSON_LINES}, {CSV} or {NPY}"
FEATURES: Final = '{"instances": [{"features": [value, …]}, …]}'
HEADER: Final = re.compile(r"text/csv[^,]*;\s*header\s*=\s*\"?present")  # RFC 4180: the first line names columns
VALUES: Final = re.compile(rb"\s*\[\s*[-0-9n]")  # the values of one row, which an array of one dimension is
QUALITY: Final = re.compile(r"[0-9]*\.?[0-9]*")


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
        if kind not in ("", *TYPES):
            raise RequestRefused(415, f"The content type is {kind[:100]!r}. Send {OFFERED}.")
        if kind == CSV:
            sagemaker.require_no_labels(request.scope)
        accepted = _accepted(request.scope)
        _best(accepted, kind or JSON)  # refused before the body is read
        body = await service.body(request)
        kind = kind or _kind_of(body)
        if kind not in (CSV, NPY):
            body = await json_of(body)
        is_mlflow = _is_mlflow(body, kind, service.host.current)
        try:
            call = _call(body, kind, is_mlflow)
            wanted = _best(accepted, _default(kind, is_mlflow))
            return await service.answer(_in(call, wanted, request.scope), request)
        except RequestRefused as refused:
            refuse: Refuse = mlflow.refusal if is_mlflow else refusal
            return refuse(refused, request.id)

    async def ping(_request: Request) -> Response:
        if service.host.current is None:
            raise RequestRefused(503, service.host.error or "The release is still being loaded. Try again in a moment.")
        return json_response(200, {"status": "ready"})

    return [Route("/ping", {"GET": ping}, native.refusal), Route("/invocations", {"POST": invoke}, refusal)]


def refusal(refused: RequestRefused, request_id: str) -> Response:
    """The native refusal with what MLflow's clients read beside it: before the rows, nobody knows whose request it is.

    SageMaker hands on whatever a container answers.
    """
    response = native.refusal(refused, request_id)
    said = msgspec.json.decode(response.body, type=dict[str, msgspec.Raw])
    more = {"error_code": mlflow.code_of(refused), "message": refused.message}
    return msgspec.structs.replace(response, body=msgspec.json.encode({**said, **more}))


def _kind_of(body: bytes) -> str:
    """What a body without a content type is: SageMaker's SDK sends none from version 3 on, unless it is told to."""
    if is_npy(body):
        return NPY
    return JSON if body.lstrip()[:1] in (b"", b"{", b"[") else CSV


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
    given = [key for key in keys.__struct_fields__ if getattr(keys, key) is not msgspec.UNSET and key not in names]
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
    if kind == NPY:
        return Call(lambda model: read_npy(model, body), write)
    if kind != JSON:
        return Call(lambda model: sagemaker.read_lines(model, body), write)
    return mlflow.call(body) if is_mlflow else Call(partial(_read_native, body), write)


def _read_native(body: bytes, model: ServedModel) -> Rows:
    """A native body, or SageMaker's lists, one row's values, and `{"instances": [{"features": …}]}`."""
    if LISTS.match(body):
        return model.tables.lists(body)
    if VALUES.match(body):
        decoded(body)  # refused unless it is JSON by itself
        return model.tables.lists(b"[" + body + b"]")
    keys = _keys(body)
    if keys and is_given(keys.instances) and _has_features(plain(keys.instances), model.tables.names):
        return sagemaker.read_features(model, plain(envelope(body, INSTANCES, FEATURES).instances))
    return model.read(body)


def _default(kind: str, is_mlflow: bool) -> str:
    """What is answered to who accepts anything: what was sent, but MLflow always answers JSON."""
    return JSON if is_mlflow else kind


def _in(call: Call, wanted: str, scope: Scope) -> Call:
    if wanted == JSON:
        return call
    if wanted == NPY:
        return call._replace(write=write_npy)
    if wanted == CSV:
        return call._replace(write=partial(sagemaker.write_csv, HEADER.search(_accept(scope)) is not None))
    return call._replace(write=partial(sagemaker.write_lines, wanted))


def _accepted(scope: Scope) -> dict[str, float]:
    """What the client accepts, and how much: types and ranges of them to q."""
    return {kind: weight for kind, weight in map(_range, _accept(scope).split(",")) if kind} or {"*/*": 1.0}


def _accept(scope: Scope) -> str:
    return ",".join(value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"accept")


def _best(accepted: dict[str, float], default: str) -> str:
    """The type that is wanted most: of equals one that is named, then `default`; RequestRefused when none is."""
    offered = [*(kind for kind in accepted if kind in TYPES), default, *TYPES]
    best = max(offered, key=partial(_weight, accepted))
    if _weight(accepted, best) == 0:
        wanted = ", ".join(accepted)[:100]
        raise RequestRefused(406, f"The answer can be {OFFERED}, but accepted is {wanted!r}.")
    return best


def _weight(accepted: dict[str, float], kind: str) -> float:
    """How much a type is wanted, by the most specific range that has it."""
    ranges = (kind, f"{kind.partition('/')[0]}/*", "*/*", "*")
    return next((accepted[one] for one in ranges if one in accepted), 0.0)


def _range(accepted: str) -> tuple[str, float]:
    """An accepted type, and its q from 0 to 1."""
    kind, *parameters = accepted.split(";")
    for parameter in parameters:
        name, _, value = (part.strip() for part in parameter.partition("="))
        if name == "q" and QUALITY.fullmatch(value) and value.strip("."):
            return kind.strip(), min(float(value), 1.0)
    return kind.strip(), 1.0
