"""SageMaker's contract for a container: `GET /ping`, and `POST /invocations` in the format that the headers name.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html. JSON is a native body, `[[value, …], …]`,
`[value, …]`, or `{"instances": [{"features": [value, …]}, …]}`; JSON Lines have a row a line, bare or as
`{"features": [value, …]}`; CSV has a row a line, in the order of the columns unless its first line names them.
"""

import csv
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from ml.http.answers import Response, Scope, header
from ml.model.explain import Explained
from ml.model.model import Scored, ServedModel
from ml.model.requests import Mistake, RequestRefused, Rows, decoded, misfit, shown
from ml.serving.protocols.body import plain, predictions

__all__ = [
    "CSV",
    "JSON_LINES",
    "is_features",
    "is_named_csv",
    "read_csv",
    "read_features",
    "read_lines",
    "require_no_labels",
    "write_csv",
    "write_lines",
]

CSV: Final = "text/csv"
JSON_LINES: Final = "application/jsonlines"
LONGEST_LINE: Final = 64 * 1024
LABELS: Final = re.compile(r";\s*label_size\s*=\s*\"?([^\";\s]*)", re.IGNORECASE)
IS_FEATURES: Final = re.compile(rb'\s*(\[\s*)?\{\s*"features"\s*:')


class Features(msgspec.Struct, forbid_unknown_fields=True):
    """A row as SageMaker's own algorithms take it: values in the order of the columns."""

    features: msgspec.Raw


ROWS: Final = msgspec.json.Decoder(list[Features])


def is_features(data: bytes) -> bool:
    """Whether rows are given as `{"features": …}`."""
    return IS_FEATURES.match(data) is not None


def read_features(model: ServedModel, data: bytes) -> Rows:
    """A JSON list of Features."""
    try:
        unwrapped = ROWS.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        decoded(data)
        raise RequestRefused(422, f'Every row must be {{"features": [value, …]}} and nothing else: {error}.') from error
    return model.tables.rows(b"[" + b",".join(plain(row.features) for row in unwrapped) + b"]")


def read_lines(model: ServedModel, body: bytes) -> Rows:
    """JSON Lines: a row a line; empty lines are left out."""
    lines = [line for line in body.splitlines() if line.strip()]
    if not lines:
        raise RequestRefused(400, "The body is empty. Send a row a line.")
    for number, line in enumerate(lines):
        if not _is_row(line):
            text = line.decode("utf-8", "replace")
            raise misfit(iter([Mistake(number, "a JSON object or list of values on one line", shown(text))]))
    data = b"[" + b",".join(lines) + b"]"
    is_wrapped = "features" not in model.tables.names and is_features(data)
    return read_features(model, data) if is_wrapped else model.tables.rows(data)


def require_no_labels(scope: Scope) -> None:
    """RequestRefused for CSV whose type says that labels stand before the columns: they would be read as values."""
    said = LABELS.search(header(scope, b"content-type") or "")
    if said and said[1] != "0":
        raise RequestRefused(
            415,
            f"The content type says label_size={said[1][:20]}: lines that begin with labels. "
            f"Send the columns' values alone, as {CSV} or {CSV};label_size=0.",
        )


def is_named_csv(body: bytes, names: Sequence[str]) -> bool:
    """Whether the first line of a CSV file names columns."""
    first = body.lstrip()[:LONGEST_LINE].split(b"\n", 1)[0]
    cells = first.decode("utf-8-sig", "replace").split(",")
    return not {cell.strip().strip('"') for cell in cells}.isdisjoint(names)


def read_csv(model: ServedModel, body: bytes) -> Rows:
    """CSV: a row a line; where columns are named, MLflow's, those that the model doesn't take are left out."""
    rows = _cells(body)
    if not rows:
        raise RequestRefused(400, "The body is empty. Send a row a line.")
    if not is_named_csv(body, model.tables.names):
        return model.tables.texts(rows, None)
    columns = [cell.strip() for cell in rows[0]]
    places = [place for place, name in enumerate(columns) if name in model.tables.names]
    if len(places) < len(columns) and all(len(row) == len(columns) for row in rows):
        return model.tables.texts([[row[place] for place in places] for row in rows[1:]], [columns[p] for p in places])
    return model.tables.texts(rows[1:], columns)


def write_lines(
    kind: str, _model: ServedModel, scored: Scored, _request_id: str, _explained: Explained | None
) -> Response:
    """`{"score": …, "decision": …}` a line, as the content type `kind`."""
    return Response(200, msgspec.json.Encoder().encode_lines(predictions(scored)), kind)


def write_csv(
    is_named: bool, _model: ServedModel, scored: Scored, _request_id: str, _explained: Explained | None
) -> Response:
    """Score and decision a line, as SageMaker joins them to the lines of its input, below their names where asked."""
    pairs = zip(scored.scores.tolist(), scored.decisions.tolist(), strict=True)
    text = "".join(f"{score!r},{decision}\n" for score, decision in pairs)
    text = f"score,decision\n{text}" if is_named else text
    return Response(200, text.encode(), CSV)  # nothing behind it: SageMaker's PandasDeserializer takes no parameters


def _is_row(line: bytes) -> bool:
    """Whether a line is one JSON object or list: two would be counted as two rows."""
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return line.lstrip()[:1] in (b"{", b"[")


def _cells(body: bytes) -> list[list[str]]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestRefused(400, f"The body is not UTF-8: byte {error.start}.") from error
    try:
        return list(csv.reader((line for line in text.splitlines() if line.strip()), strict=True))
    except csv.Error as error:
        raise RequestRefused(400, f"The body is not CSV: {error}.") from error
