"""What the protocols' bodies and answers have in common."""

import asyncio
from itertools import repeat
from typing import Final, TypeVar

import msgspec

from ml.http.answers import Response, json_response
from ml.model.explain import Explained
from ml.model.model import Prediction, Scored, ServedModel
from ml.model.requests import RequestRefused, decoded, shown
from ml.serving.protocols.route import Request, Service

__all__ = [
    "as_json",
    "envelope",
    "error",
    "is_given",
    "json_body",
    "json_of",
    "plain",
    "predictions",
    "probabilities",
    "require_model",
    "status_of",
]

T = TypeVar("T")

LARGE_BYTES: Final = 64 * 1024
# What quotes and backslashes inside a text are while it is looked for: JSON itself has no such bytes.
ESCAPES: Final = ((rb"\\", b"\0\1"), (rb"\"", b"\0\2"))


def as_json(body: bytes) -> bytes:
    """A body as JSON that was written by Python, R or C++: they write NaN for what is missing, and Infinity.

    Infinity becomes a number that no column takes, to be named with its row and column.
    """
    if (b"NaN" not in body and b"Infinity" not in body) or b"\0" in body:
        return body
    for said, aside in ESCAPES:
        body = body.replace(said, aside)
    parts = body.split(b'"')  # every other one is inside a text
    outside = b'"'.join(parts[::2]).replace(b"NaN", b"null").replace(b"Infinity", b"1e999")
    parts[::2] = outside.split(b'"')
    body = b'"'.join(parts)
    for said, aside in reversed(ESCAPES):
        body = body.replace(aside, said)
    return body


def envelope(body: bytes, shape: msgspec.json.Decoder[T], example: str) -> T:
    """The body as `shape`, whose rows may be still undecoded; RequestRefused says what it should look like.

    A decoder is made when its module is loaded: msgspec 0.22 ends the process where two threads meet a type first.
    """
    try:
        return shape.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if not body.strip():
            raise RequestRefused(400, f"The body is empty. Send {example}.") from error
        value = decoded(body)
        got = f" ({error})" if isinstance(value, dict) else f", got {shown(value)}"
        raise RequestRefused(422, f"The body must be {example}{got}.") from error


async def json_body(service: Service, request: Request) -> bytes:
    """A request's body `as_json`."""
    return await json_of(await service.body(request))


async def json_of(body: bytes) -> bytes:
    """A body `as_json`, which takes a large one long enough for others to notice."""
    return as_json(body) if len(body) <= LARGE_BYTES else await asyncio.to_thread(as_json, body)


def is_given(part: msgspec.Raw | msgspec.UnsetType) -> bool:
    """Whether a part of an envelope was sent; many clients send null for what they leave out."""
    return plain(part) != b"null"


def plain(part: msgspec.Raw | msgspec.UnsetType) -> bytes:
    """The JSON of a part of an envelope."""
    return b"null" if isinstance(part, msgspec.UnsetType) else bytes(part)


def require_model(model: ServedModel | None, name: str, version: str | None = None) -> ServedModel:
    """The model that serves; RequestRefused when it is another one, or none serves yet."""
    if model is None:
        raise RequestRefused(503, "No release serves yet. Try again in a moment.")
    if name != model.manifest.name:
        raise RequestRefused(404, f"There is no model {name[:60]!r} here; {model.manifest.name!r} serves.")
    if version not in (None, model.manifest.version):
        raise RequestRefused(404, f"Version {version[:60]!r} does not serve; {model.manifest.version!r} does.")
    return model


def predictions(scored: Scored, explained: Explained | None = None) -> list[Prediction]:
    """Score and decision of each row, with reasons where they were asked for."""
    reasons = explained.reasons if explained else repeat(None)
    parts = zip(scored.scores.tolist(), scored.decisions.tolist(), reasons, strict=False)
    return [Prediction(*part) for part in parts]


def probabilities(scored: Scored) -> list[tuple[float, float]]:
    """The probability of each class, the positive one last: what the bundle's MLflow model itself predicts."""
    return [(1.0 - score, score) for score in scored.scores.tolist()]


def status_of(refused: RequestRefused) -> int:
    """400 for rows that do not fit, as these protocols have it; every other status as it is."""
    return 400 if refused.status == 422 else refused.status


def error(refused: RequestRefused, key: str, **more: object) -> Response:
    """A refusal as `{key: sentence}`, with each mistake by row and column."""
    body: dict[str, object] = {**more, key: refused.message}
    if refused.mistakes:
        body["mistakes"] = refused.mistakes
    return json_response(status_of(refused), body)
