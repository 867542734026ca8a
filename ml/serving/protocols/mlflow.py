"""MLflow's scoring protocol: `POST /invocations` with one of four keys, and what its clients ask beside it.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/. Databricks Model Serving speaks it too. An answer
holds what the bundle's MLflow model itself predicts: the probability of each class, the positive one last.
"""

from typing import Final

import msgspec

from ml.http.answers import Response, json_response
from ml.model.explain import Explained
from ml.model.model import Scored, ServedModel
from ml.model.requests import RequestRefused, Rows
from ml.model.tables import TableReader
from ml.serving.hosting.call import Call
from ml.serving.protocols.body import envelope, error, is_given, plain, probabilities, status_of
from ml.serving.protocols.route import Request, Route, Service

__all__ = ["Invocation", "call", "code_of", "given", "read_rows", "refusal", "require_no_parameters", "routes", "write"]

KEYS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")
SHAPE: Final = f"a JSON object with one of {', '.join(KEYS)}"
SPLIT: Final = '{"columns": [name, …], "data": [[value, …], …]}'
# databricks_pb2.ErrorCode, by status.
CODES: Final = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_PARAMETER_VALUE",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
}
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Invocation(msgspec.Struct):
    """The body: rows under exactly one key; MLflow and Databricks leave other keys, as client_request_id, unread."""

    dataframe_split: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    dataframe_records: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    instances: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Split(msgspec.Struct, forbid_unknown_fields=True):
    """A table as pandas writes it with orient="split"."""

    data: msgspec.Raw
    columns: list[str] | None = None
    index: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


BODY: Final = msgspec.json.Decoder(Invocation)
TABLE: Final = msgspec.json.Decoder(Split)
RECORDS: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
COLUMNS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
LISTS: Final = msgspec.json.Decoder(list[list[msgspec.Raw]])


def routes(service: Service) -> list[Route]:
    """What MLflow's clients ask beside /invocations."""

    async def version(_request: Request) -> Response:
        model = service.host.current
        if model is None:
            raise RequestRefused(503, "No release serves yet. Try again in a moment.")
        return Response(200, model.mlflow_version.encode(), "text/plain; charset=utf-8")

    return [Route("/version", {"GET": version}, refusal)]


def call(body: bytes) -> Call:
    """The call that a body holds; RequestRefused for one that is no Invocation."""
    sent = envelope(body, BODY, SHAPE)
    key, data = given(sent)
    require_no_parameters(sent.params)
    return Call(lambda model: read_rows(model.tables, key, data), write)


def given(sent: Invocation) -> tuple[str, bytes]:
    """The key and the undecoded rows of a body; RequestRefused where it has none or several."""
    keys = [key for key in KEYS if is_given(getattr(sent, key))]
    if len(keys) != 1:
        raise RequestRefused(422, f"The body must be {SHAPE}, got {' and '.join(keys) or 'none of them'}.")
    return keys[0], plain(getattr(sent, keys[0]))


def read_rows(tables: TableReader, key: str, data: bytes) -> Rows:
    """The rows that stand under `key`, without the columns that the model doesn't take, as MLflow leaves them out.

    RequestRefused for what does not fit.
    """
    if key == "dataframe_split":
        split = envelope(data, TABLE, SPLIT)
        columns, values = split.columns, plain(split.data)
        if columns is not None and not set(columns) <= set(tables.names):
            columns, values = _known_of_split(tables.names, columns, values)
        return tables.lists(values, columns)
    read, known = (tables.columns, _known_columns) if _is_by_column(key, data) else (tables.rows, _known_of_records)
    try:
        return read(data)
    except RequestRefused:
        fewer = known(tables.names, data)
        if fewer is None:
            raise
        return read(fewer)


def _is_by_column(key: str, data: bytes) -> bool:
    return key == "inputs" and data.lstrip()[:1] == b"{"


def _known_of_split(names: list[str], columns: list[str], data: bytes) -> tuple[list[str], bytes]:
    """A table without the columns that have other names; as it is where its rows are not as long as its columns."""
    try:
        rows = LISTS.decode(data)
    except UNREADABLE:
        return columns, data
    if any(len(row) != len(columns) for row in rows):
        return columns, data
    places = [place for place, name in enumerate(columns) if name in names]
    return [columns[place] for place in places], msgspec.json.encode([[row[place] for place in places] for row in rows])


def _known_of_records(names: list[str], data: bytes) -> bytes | None:
    """Records without the columns that have other names; None where there are no such columns."""
    try:
        records = RECORDS.decode(data)
    except UNREADABLE:
        return None
    if all(record.keys() <= set(names) for record in records):
        return None
    return msgspec.json.encode([{name: record[name] for name in names if name in record} for record in records])


def _known_columns(names: list[str], data: bytes) -> bytes | None:
    """Columns without those that have other names; None where there are none."""
    try:
        columns = COLUMNS.decode(data)
    except UNREADABLE:
        return None
    if columns.keys() <= set(names):
        return None
    return msgspec.json.encode({name: columns[name] for name in names if name in columns})


def require_no_parameters(parameters: msgspec.Raw | msgspec.UnsetType) -> None:
    """RequestRefused for parameters: the model's signature has none."""
    if plain(parameters).strip() not in (b"null", b"{}"):
        raise RequestRefused(422, "This model takes no params.")


def write(_model: ServedModel, scored: Scored, _request_id: str, _explained: Explained | None) -> Response:
    """`{"predictions": [[probability of each class], …]}`."""
    return json_response(200, {"predictions": probabilities(scored)})


def refusal(refused: RequestRefused, _request_id: str) -> Response:
    """As MLflow serialises its own exceptions, with each mistake by row and column."""
    return error(refused, "message", error_code=code_of(refused))


def code_of(refused: RequestRefused) -> str:
    """MLflow's word for what is wrong."""
    return CODES.get(status_of(refused), "BAD_REQUEST" if refused.status < 500 else "INTERNAL_ERROR")
