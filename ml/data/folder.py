"""A folder of data files as one table: the files that bulk scoring takes, partitioned or not, or a Delta table."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ml.data._files import MOST_CELLS, parse
from ml.data.findings import DataRefused, Finding, show
from ml.inputs.files import Files, find_files
from ml.problem import Problem

__all__ = ["Folder", "read_folder"]


class Folder(NamedTuple):
    """The rows of all files, in the order of their names; each file's name and number of rows.

    `digest` is "sha256:…" of a list of the files' digests and names, as sha256sum prints it.
    """

    frame: pd.DataFrame
    files: tuple[tuple[str, int], ...]
    digest: str


def read_folder(problem: Problem, folder: Path) -> Folder:
    """Read every file; DataRefused names the one that can't be read, or has other columns than the first."""
    found = _files(folder)
    frames: list[pd.DataFrame] = []
    sums = hashlib.sha256()
    for file in found.files:
        content = Path(file.path).read_bytes()
        sums.update(f"{hashlib.sha256(content).hexdigest()}  {file.name}\n".encode())
        frame = parse(problem, content, str(folder / file.name), file.constants)
        _require_alike(frame, frames, f"{folder / file.name}")
        frames.append(frame if frame.columns.has_duplicates or not frames else frame[frames[0].columns])
        if (cells := sum(each.size for each in frames)) > MOST_CELLS:
            says = f"the folder as a whole: more than the {MOST_CELLS:,} values that are read"
            raise DataRefused(str(folder), [Finding("error", None, "too-large", cells, (), says)])
    names = (file.name for file in found.files)
    counts = tuple(zip(names, map(len, frames), strict=True))
    return Folder(pd.concat(frames, ignore_index=True), counts, f"sha256:{sums.hexdigest()}")


def _files(folder: Path) -> Files:
    found = find_files(str(folder))
    if found.format != "delta":
        return found
    from ml.inputs.delta import delta_files

    return delta_files(found, None)[0]


def _require_alike(frame: pd.DataFrame, before: list[pd.DataFrame], source: str) -> None:
    if not before or sorted(map(str, frame.columns)) == sorted(map(str, before[0].columns)):
        return
    lacking = [show(name) for name in before[0].columns if name not in frame.columns]
    further = [show(name) for name in frame.columns if name not in before[0].columns]
    parts = [*(["no " + ", ".join(lacking)] if lacking else []), *(["also " + ", ".join(further)] if further else [])]
    says = f"the file as a whole: other columns than the files before it: {'; '.join(parts) or 'one of them twice'}"
    raise DataRefused(source, [Finding("error", None, "other-columns", len(frame), (), says)])
