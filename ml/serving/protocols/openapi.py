"""The server's own description: OpenAPI 3.1 made from the release that serves, and a page that shows it offline."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

from ml.http.answers import Response
from ml.model.model import MAXIMUM_EXPLAINED_ROWS, ServedModel
from ml.model.requests import MAXIMUM_SUBJECT
from ml.serving.protocols.paths import paths
from ml.serving.protocols.shapes import COUNTS, Shapes, closed, counted, reference
from ml.serving.protocols.vertex import VertexRoutes

__all__ = ["docs_page", "openapi"]

PAGE: Final = Path(__file__).with_name("docs.html")
JSON: Final = "application/json"
HTML_TYPE: Final = "text/html; charset=utf-8"
REFUSED: Final = {
    "400": "The body is empty, not JSON, or not UTF-8.",
    "408": "The body did not arrive in time.",
    "413": "The body or the number of rows is too large.",
    "415": "The content type is not application/json.",
    "422": "The rows do not fit the model: each mistake names row, column, what was expected and what was sent.",
    "429": "The server is asked for more than it can do; try again after Retry-After seconds.",
    "501": "This server or release can't explain predictions.",
    "503": "No release serves yet.",
}


def openapi(model: ServedModel | None, maximum_rows: int, vertex: VertexRoutes) -> dict[str, Any]:
    """The OpenAPI document; before a release serves, a row is described as any object."""
    shapes = Shapes(model, maximum_rows)
    row = {k: v for k, v in model.schema.row.items() if k != "$schema"} if model else {"type": "object"}
    example = model.schema.example if model else {}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": model.schema.title if model else "No release serves yet",
            "version": model.manifest.version if model else "0",
            "description": f"Model {model.manifest.name}, release {model.release}." if model else "",
        },
        "paths": {
            "/predict": {"post": _predict(example, maximum_rows)},
            "/health": {"get": _plain("Whether the process lives.", JSON)},
            "/ready": {
                "get": _plain("Which release serves, and why the last one tried does not.", JSON, ("200", "503"))
            },
            "/metrics": {"get": _plain("Prometheus metrics.", "text/plain")},
            **paths(shapes, vertex),
        },
        "components": {"schemas": {"Row": row, "Answer": _answer(model), "Refusal": _refusal(), **shapes.components()}},
    }


@cache
def docs_page() -> Response:
    """The page at /docs: one file, nothing from elsewhere, and a policy that lets only its own script run."""
    page = PAGE.read_bytes()
    policy = (
        f"default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        f"script-src '{_inline_digest(page, 'script')}'; style-src '{_inline_digest(page, 'style')}'"
    )
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
    return Response(200, page, HTML_TYPE, headers)


def _inline_digest(page: bytes, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>".encode(), page, re.DOTALL)
    content = found.group(1) if found else b""
    return f"sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}"


def _predict(example: dict[str, int], maximum_rows: int) -> dict[str, Any]:
    row = reference("Row")
    rows = {"type": "array", "items": row, "minItems": 1}
    name = {"type": ["string", "null"], "minLength": 1, "maxLength": MAXIMUM_SUBJECT, "pattern": r"\S"}
    title = "Whom each row is about, one name or null per row; only a keyed pseudonym is kept"
    batches = [closed({"rows": rows}, {"subjects": {"type": "null", "title": title}})] + [
        closed({"rows": counted(row, count), "subjects": counted(name, count) | {"title": title}}) for count in COUNTS
    ]
    answers: dict[str, Any] = {
        status: {"description": text, "content": _json("#/components/schemas/Refusal")}
        for status, text in REFUSED.items()
    }
    answers["200"] = {
        "description": "One prediction per row, in order.",
        "content": _json("#/components/schemas/Answer"),
    }
    return {
        "summary": f"Predict one row, or up to {maximum_rows} rows.",
        # In words, because a parameter's schema can't say for how many rows of the body it may be true.
        "description": f"?explain=true gives the reasons of each score, for at most {MAXIMUM_EXPLAINED_ROWS} rows.",
        "parameters": [
            {
                "name": "X-Request-ID",
                "in": "header",
                "description": "Names the request in the answer; made up unless it is 1 to 128 of A-Za-z0-9._:-",
                "schema": {"type": "string"},
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": [row, rows, *batches]},
                    "examples": {
                        "one row": {"value": example},
                        "many rows": {"value": {"rows": [example, example]}},
                    },
                }
            },
        },
        "responses": dict(sorted(answers.items())),
    }


def _answer(model: ServedModel | None) -> dict[str, Any]:
    codes = sorted(model.schema.outcomes) if model else []
    decision = {"type": "integer", "title": "The outcome decided at the threshold"} | ({"enum": codes} if codes else {})
    prediction = {
        "type": "object",
        "required": ["score", "decision"],
        "properties": {
            "score": {"type": "number", "minimum": 0, "maximum": 1, "title": "Probability of the positive outcome"},
            "decision": decision,
            "reasons": {"type": "array", "items": _reason(), "title": "The strongest first, where they were asked for"},
        },
    }
    text = {"type": "string"}
    properties = {
        "request_id": text,
        "model": text,
        "version": text,
        "release": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
        "threshold": {"type": "number"},
        "outcomes": {"type": "object", "additionalProperties": text, "title": "What each decision means"},
        "predictions": {"type": "array", "items": prediction},
    }
    base = {"type": "number", "title": "A score is this and the contributions of its reasons, added up"}
    return {"type": "object", "required": list(properties), "properties": properties | {"base_score": base}}


def _reason() -> dict[str, Any]:
    text = {"type": "string"}
    properties = {
        "feature": text,
        "title": text,
        "value": {"type": ["integer", "null"]},
        "contribution": {"type": "number", "title": "How far the value moves the score"},
    }
    meaning = {"type": "string", "title": "What a code stands for"}
    return {"type": "object", "required": list(properties), "properties": properties | {"meaning": meaning}}


def _refusal() -> dict[str, Any]:
    text = {"type": "string"}
    mistake = {
        "type": "object",
        "required": ["row", "expected", "got"],
        "properties": {"row": {"type": "integer"}, "column": text, "expected": text, "got": text},
    }
    return {
        "type": "object",
        "required": ["request_id", "error"],
        "properties": {
            "request_id": text,
            "error": text,
            "mistakes": {"type": "array", "items": mistake, "maxItems": 20},
        },
    }


def _plain(summary: str, content_type: str, statuses: tuple[str, ...] = ("200",)) -> dict[str, Any]:
    answer = {"description": summary, "content": {content_type: {}}}
    return {"summary": summary, "responses": dict.fromkeys(statuses, answer)}


def _json(reference: str) -> dict[str, Any]:
    return {JSON: {"schema": {"$ref": reference}}}
