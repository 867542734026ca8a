"""What the server's description says of who may ask: only where it asks who calls."""

from typing import Any, Final

from ml.access.check import SAID, Access

__all__ = ["describe"]

Document = dict[str, Any]
SHAPED: Final = ("400", "422")  # the statuses whose answers show how an operation says no
UNSHAPED: Final = {"application/json": {"schema": {"type": "object"}}}  # each protocol has a way of its own


def describe(document: Document, access: Access) -> Document:
    """The OpenAPI document with the ways to say who one is, and a 401 for every operation that asks."""
    if not access.schemes:
        return document
    ways = [{name: list[str]()} for name in access.schemes]
    paths = {
        path: operations if access.is_open(path) else {verb: _asking(each, ways) for verb, each in operations.items()}
        for path, operations in document["paths"].items()
    }
    components = document["components"] | {"securitySchemes": access.schemes}
    return document | {"paths": paths, "components": components}


def _asking(operation: Document, ways: list[dict[str, list[str]]]) -> Document:
    answers: Document = operation["responses"]
    shape = next((answers[status]["content"] for status in SHAPED if "content" in answers.get(status, {})), UNSHAPED)
    refused = {"401": {"description": SAID, "content": shape}}
    return operation | {"security": ways, "responses": dict(sorted((answers | refused).items()))}
