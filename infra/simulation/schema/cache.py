"""Schemas kept on disk, per version of their SDK: reading a type from the sources takes tens of milliseconds."""

import os
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path

import msgspec

from infra.simulation.schema import source
from infra.simulation.schema.packages import class_file, folder_of, function_file, version_of
from infra.simulation.schema.types import FunctionSchema, ResourceSchema

__all__ = ["cache_folder", "function_schema", "keep", "resource_schema"]

# Made once, here: msgspec 0.22 ends the process where two threads meet a type for the first time.
RESOURCE = msgspec.json.Decoder(ResourceSchema)
FUNCTION = msgspec.json.Decoder(FunctionSchema)
PARSING = (
    threading.Lock()
)  # CPython 3.11 counts the depth of `ast.parse` once for all threads, and fails where two meet
FORMAT = "3"  # raise it when what is derived from the same sources changes


@cache
def resource_schema(token: str) -> ResourceSchema | None:
    """The schema of a resource type; None when no installed SDK has it."""
    if (file := _cached_file(token)) is None:
        return None
    if file.exists():
        return RESOURCE.decode(file.read_bytes())
    located = class_file(token)
    if located is None:
        return None
    with PARSING:
        schema = source.read_resource(token, *located)
    keep(file, msgspec.json.encode(schema))
    return schema


@cache
def function_schema(token: str) -> FunctionSchema | None:
    """The schema of a function; None when no installed SDK has it."""
    if (file := _cached_file(token)) is None:
        return None
    if file.exists():
        return FUNCTION.decode(file.read_bytes())
    located = function_file(token)
    if located is None:
        return None
    with PARSING:
        schema = source.read_function(token, located)
    keep(file, msgspec.json.encode(schema))
    return schema


def cache_folder() -> Path:
    """The user's folder for what is derived from installed packages; can be deleted at any time."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "mlops-reference" / "simulation" / f"{FORMAT}-py{sys.version_info.minor}"


def _cached_file(token: str) -> Path | None:
    package = token.partition(":")[0]
    if folder_of(package) is None:
        return None
    return cache_folder() / f"{package}-{version_of(package)}" / f"{token.replace(':', '.').replace('/', '.')}.json"


def keep(file: Path, content: bytes) -> None:
    """Write it at once or not at all: several programs and threads may do this at the same time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as temporary:
        temporary.write(content)
    Path(temporary.name).replace(file)
