"""Which files a Delta table is made of at one version; nothing else of Delta is needed to read it."""

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import pyarrow as pa

from ml.errors import InputRefused
from ml.inputs.files import DataFile, Files

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["delta_files"]

# Reader features that change nothing in how rows are stored.
HARMLESS: Final = {"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "deletionVectors", "columnMapping"}
PARTITION: Final = "partition."


def delta_files(found: Files, version: int | None) -> tuple[Files, int]:
    """The table's files at `version`, by default the newest, and which one that is.

    InputRefused for a table whose rows are not simply those of its files: deleted by vector, or renamed columns.
    """
    table = _open(found.uri, version)
    _demand_plain(table, found.uri)
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    columns = [field.name for field in table.schema().fields]
    partitions = [str(name) for name in table.metadata().partition_columns]
    files = [_file(found, action, partitions) for action in actions]
    if any("://" in file.name for file in files):
        raise InputRefused(f"The Delta table {found.uri} has files elsewhere: a shallow clone. Score its source.")
    # A column that was added later is null in the files from before.
    empty: dict[str, Any] = dict.fromkeys(columns)
    files = [file._replace(constants=empty | file.constants) for file in files]
    return found._replace(files=tuple(sorted(files, key=lambda file: file.name))), table.version()


def _open(uri: str, version: int | None) -> "DeltaTable":
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError
    except ImportError as error:
        raise InputRefused(f"{uri} is a Delta table; install the extra `delta` to read it.") from error
    try:
        return DeltaTable(uri, version=version)
    except (DeltaError, TableNotFoundError, OSError, ValueError) as error:
        at = "" if version is None else f" at version {version}"
        raise InputRefused(f"The Delta table {uri} can't be read{at}: {error}") from error


def _demand_plain(table: "DeltaTable", uri: str) -> None:
    features = set(table.protocol().reader_features or ())
    wrong = sorted(features - HARMLESS)
    if "deletionVectors" in features and pa.table(table.deletion_vectors()).num_rows:
        wrong.append("deletion vectors; `REORG TABLE … APPLY (PURGE)` removes them")
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        wrong.append("column mapping")
    if wrong:
        raise InputRefused(
            f"The Delta table {uri} can't be read without Spark: it uses {', '.join(wrong)}. Try --spark."
        )


def _file(found: Files, action: dict[str, Any], partitions: list[str]) -> DataFile:
    name = unquote(str(action["path"]))
    constants = {column: action[PARTITION + column] for column in partitions}
    root = str(found.filesystem._strip_protocol(found.uri))  # pyright: ignore[reportPrivateUsage] # fsspec names no public way
    return DataFile(f"{root}/{name}", name, int(action["size_bytes"]), str(action["modification_time"]), constants)
