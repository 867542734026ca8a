"""The contract of a service of Google's from its discovery document, of which `google-api-python-client` has them all.

What is made of it looks like botocore's shapes, so that both are compiled by the same code.
"""

import importlib.util
import json
from functools import cache, cached_property
from pathlib import Path
from typing import Any

__all__ = ["Shape", "of_call"]

KINDS = {"object": "structure", "array": "list", "number": "float"}


class Shape:
    """One schema of the document; `members` are looked at when they are asked for, as one may be part of itself."""

    def __init__(self, schema: dict[str, Any], document: dict[str, Any], call: str, name: str = "") -> None:
        referred = schema.get("$ref")
        self._schema = {**document["schemas"][referred], **schema} if referred else schema
        self._document, self._call = document, call
        self.name = referred or name
        kind = self._schema.get("type", "any")
        is_map = kind == "object" and "additionalProperties" in self._schema
        self.type_name = "map" if is_map else KINDS.get(kind, kind)
        self.metadata = self._limits()

    def _limits(self) -> dict[str, Any]:
        """Numbers that are written as texts have their limits as texts too, so these are left to the rules."""
        limits = {"enum": self._schema["enum"]} if "enum" in self._schema else {}
        return limits | ({"pattern": self._schema["pattern"]} if "pattern" in self._schema else {})

    def _part(self, schema: dict[str, Any], name: str) -> "Shape":
        return Shape(schema, self._document, self._call, f"{self.name}.{name}")

    @cached_property
    def members(self) -> dict[str, "Shape"]:
        """A structure's, without those that only answers have."""
        listed = self._schema.get("properties", {}).items() if self.type_name == "structure" else ()
        return {name: self._part(schema, name) for name, schema in listed if not schema.get("readOnly")}

    @cached_property
    def required_members(self) -> list[str]:
        """Those that the call is said to need."""
        annotated = {
            name: schema.get("annotations", {}).get("required", [])
            for name, schema in self._schema.get("properties", {}).items()
        }
        return [name for name, calls in annotated.items() if self._call in calls]

    @cached_property
    def member(self) -> "Shape":
        """A list's element."""
        return self._part(self._schema["items"], "[]")

    @cached_property
    def value(self) -> "Shape":
        """A map's."""
        return self._part(self._schema["additionalProperties"], "*")


def of_call(service: str, call: str) -> Shape:
    """The request of `subnetworks.insert` in `compute.v1`."""
    document = _document(service)
    *resources, method = call.split(".")
    holder = document
    for name in resources:
        holder = holder["resources"][name]
    described = holder["methods"][method]
    return Shape(described["request"], document, described["id"])


@cache
def _document(service: str) -> dict[str, Any]:
    specification = importlib.util.find_spec("googleapiclient")
    if specification is None or specification.origin is None:
        raise ModuleNotFoundError("google-api-python-client is not installed: uv sync --extra gcp")
    file = Path(specification.origin).parent / "discovery_cache" / "documents" / f"{service}.json"
    return json.loads(file.read_text(encoding="utf-8"))
