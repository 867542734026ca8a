"""Which files an input is made of, and what the folders they are in say about their rows."""

import re
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, NamedTuple, cast
from urllib.parse import unquote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ml.errors import InputRefused

__all__ = ["SUFFIXES", "DataFile", "Files", "Format", "find_files", "place"]

Format = Literal["parquet", "csv", "delta"]
SUFFIXES: Final[dict[str, Format]] = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv"}
DELTA_LOG: Final = "_delta_log"
HIVE_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
WHOLE_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")


class DataFile(NamedTuple):
    """One file: its path on the file system and in the input, its size, and the columns that its folders name."""

    path: str
    name: str
    bytes: int
    changed: str | None
    constants: dict[str, Any]


class Files(NamedTuple):
    """The files of an input, sorted by name; all of them have the same constants' names."""

    uri: str
    format: Format
    filesystem: fsspec.AbstractFileSystem
    files: tuple[DataFile, ...]


def find_files(uri: str, chosen: Format | None = None) -> Files:
    """List a file, a folder or a partitioned dataset (`year=2017/…`) at a path or fsspec URI.

    Names that begin with `_` or `.` are left out, as Spark and pyarrow do. InputRefused where there is nothing, or
    where the kind of files can't be told.
    """
    uri = uri.rstrip("/") or uri
    try:
        filesystem, root = cast(tuple[fsspec.AbstractFileSystem, str], fsspec.url_to_fs(uri))
        if filesystem.exists(f"{root}/{DELTA_LOG}") and chosen in (None, "delta"):
            return Files(uri, "delta", filesystem, ())
        found = cast(dict[str, dict[str, Any]], filesystem.find(root, detail=True))
    except (OSError, ValueError, ImportError) as error:
        raise InputRefused(f"The input {uri} can't be read: {error}") from error
    if chosen == "delta":
        raise InputRefused(f"The input {uri} is no Delta table: it has no folder {DELTA_LOG}.")
    if not found:
        raise InputRefused(f"The input {uri} isn't there, or is an empty folder.")
    named = {_name(path, root): info for path, info in found.items()}
    visible = {name: info for name, info in named.items() if not _is_hidden(name)}
    kind = chosen or _format(uri, visible)
    suffixes = {suffix for suffix, format_ in SUFFIXES.items() if format_ == kind}
    # A single file is what its --format says, whatever it is called.
    single = len(visible) == 1 and chosen is not None
    kept = {n: info for n, info in visible.items() if single or PurePosixPath(n).suffix.lower() in suffixes}
    if not kept:
        raise InputRefused(f"The input {uri} holds no {kind} file ({', '.join(sorted(suffixes))}).")
    constants = _typed({name: _hive(name) for name in kept}, uri)
    files = [
        DataFile(str(info["name"]), name, int(info["size"]), _changed(filesystem, info), constants[name])
        for name, info in sorted(kept.items())
    ]
    return Files(uri, kind, filesystem, tuple(files))


def place(uri: str, name: str) -> str:
    """A file of an input, as a person would write it."""
    return uri if PurePosixPath(uri).name == name else f"{uri}/{name}"


def _name(path: str, root: str) -> str:
    """The file's place in the input; of a single file, its own name."""
    inside = path.removeprefix(root.rstrip("/")).lstrip("/")
    return inside or PurePosixPath(path).name


def _is_hidden(name: str) -> bool:
    return any(part[0] in "_." and "=" not in part for part in PurePosixPath(name).parts)


def _format(uri: str, names: dict[str, Any]) -> Format:
    kinds: set[Format] = {SUFFIXES[s] for name in names if (s := PurePosixPath(name).suffix.lower()) in SUFFIXES}
    if len(kinds) == 1:
        return kinds.pop()
    if kinds:
        raise InputRefused(f"The input {uri} holds both parquet and CSV files. Choose with --format, or divide them.")
    raise InputRefused(
        f"The input {uri} holds no file called like {', '.join(f'*{s}' for s in SUFFIXES)}, and is no Delta table. "
        "If its files are called otherwise, name one of them and its --format."
    )


def _hive(name: str) -> dict[str, str | None]:
    """The columns that the folders `column=value` of a file name."""
    pairs = (part.split("=", 1) for part in PurePosixPath(name).parts[:-1] if "=" in part)
    return {unquote(key): None if value == HIVE_NULL else unquote(value) for key, value in pairs}


def _typed(texts: dict[str, dict[str, str | None]], uri: str) -> dict[str, dict[str, Any]]:
    """The columns as numbers where all files say whole numbers; InputRefused where the files don't agree on them."""
    columns = {tuple(constants) for constants in texts.values()}
    if len(columns) != 1:
        shown = " and ".join(sorted("/".join(names) or "no columns" for names in columns)[:3])
        raise InputRefused(f"The folders of {uri} name different columns: {shown}. Score them one by one.")
    numbers = {
        column
        for column in columns.pop()
        if all(c[column] is None or WHOLE_NUMBER.fullmatch(str(c[column])) for c in texts.values())
    }
    return {
        name: {c: int(v) if v is not None and c in numbers else v for c, v in constants.items()}
        for name, constants in texts.items()
    }


def _changed(filesystem: fsspec.AbstractFileSystem, info: dict[str, Any]) -> str | None:
    """What changes when the file's content does, as far as the store tells."""
    if isinstance(filesystem, LocalFileSystem):
        return str(Path(info["name"]).stat().st_mtime_ns)
    for key in ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "created"):
        if info.get(key) is not None:
            return str(info[key])
    return None
