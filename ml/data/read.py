"""Data files: read one, check it, and keep its bytes in the object store under their digest."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from ml.data._files import parse, read_bytes
from ml.data.folder import read_folder
from ml.data.quality import DataRefused, Finding, QualityReport, check, require
from ml.data.report import render
from ml.errors import InputRefused
from ml.problem import Problem
from ml.store import Store

__all__ = ["Dataset", "examine", "ingest", "read_file"]


@dataclass(frozen=True)
class Dataset:
    """A raw data file that passed its checks: `digest` is "sha256:…" of its bytes, `uri` its place in the store."""

    name: str
    frame: pd.DataFrame
    digest: str
    uri: str


def read_file(problem: Problem, file: Path | str, *, labelled: bool = True) -> pd.DataFrame:
    """The rows of one raw file, parquet or CSV; DataRefused names everything that is wrong with it.

    The columns are in the problem's order, in the smallest integers that hold what it allows. The target may be
    missing unless `labelled`.
    """
    file = Path(file)
    return _checked(problem, read_bytes(file), str(file), labelled=labelled)[0]


def examine(problem: Problem, file: Path | str, *, labelled: bool = True) -> QualityReport:
    """The quality report of one raw file, or of a folder of them, also of what can't be parsed.

    InputRefused where there is no file.
    """
    file = Path(file)
    if file.is_dir():
        return _examine_folder(problem, file, labelled=labelled)
    content = read_bytes(file)
    try:
        frame = parse(problem, content, str(file))
    except DataRefused as refused:
        return QualityReport(problem.name, str(file), "raw", 0, (), refused.findings, _digest(content))
    return check(problem, frame, "raw", str(file), labelled=labelled, digest=_digest(content))


def _examine_folder(problem: Problem, folder: Path, *, labelled: bool) -> QualityReport:
    try:
        found = read_folder(problem, folder)
    except DataRefused as refused:
        return QualityReport(problem.name, refused.source, "raw", 0, (), refused.findings)
    return check(problem, found.frame, "raw", str(folder), labelled=labelled, digest=found.digest, files=found.files)


def ingest(problem: Problem, name: str, store: Store, root: Path) -> Dataset:
    """The dataset `name` of the problem, from the checkout at `root`, else from the store, which keeps it once.

    Its bytes are checked against the problem's digest and its rows as raw data, each time; the store holds the
    quality report beside the bytes, and nothing of a file that is refused.
    """
    entry = problem.datasets.files.get(name)
    if entry is None:
        known = ", ".join(problem.datasets.files)
        raise InputRefused(f"{name!r} is not a dataset of the problem {problem.name!r}; it has {known}.")
    key = f"data/{problem.name}/{name}/{entry.sha256}{PurePosixPath(entry.path).suffix}"
    file, digest = root / problem.datasets.root / entry.path, f"sha256:{entry.sha256}"
    if file.exists():
        content, source = read_bytes(file), str(file)
    else:
        content, source = _stored(store, key, file), store.url(key)
    if (actual := _digest(content)) != digest:
        says = (
            f"the file as a whole: {len(content):,} bytes with the digest {actual}, not {digest} as the problem "
            "definition says; restore the file, or state the new digest there"
        )
        raise DataRefused(source, [Finding("error", None, "digest", len(content), (actual,), says)])
    frame, report = _checked(problem, content, source)
    if not store.exists(key):
        _keep(store, key, content, report)
    return Dataset(name, frame, digest, store.url(key))


def _keep(store: Store, key: str, content: bytes, report: QualityReport) -> None:
    # The report first: whoever finds the data finds its report, also after a kill between the two.
    stem = str(PurePosixPath(key).with_suffix(""))
    store.write(f"{stem}.quality.json", json.dumps(report.as_dict(), indent=1).encode())
    store.write(f"{stem}.quality.html", render([report]).encode())
    store.write(key, content)


def _stored(store: Store, key: str, file: Path) -> bytes:
    try:
        return store.read(key)
    except FileNotFoundError as error:
        raise InputRefused(
            f"{file}: there is no such file, and the store has no copy at {store.url(key)}. "
            "Check the data out, or ingest it from a checkout first."
        ) from error


def _checked(
    problem: Problem, content: bytes, source: str, *, labelled: bool = True
) -> tuple[pd.DataFrame, QualityReport]:
    frame = parse(problem, content, source)
    report = check(problem, frame, "raw", source, labelled=labelled, digest=_digest(content))
    require(report)
    columns = [column for column in problem.columns if column in frame]
    return frame[columns].astype({column: _dtype(problem, column) for column in columns}), report


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _dtype(problem: Problem, column: str) -> np.dtype:
    """The smallest type for what the problem allows: the same for every file, whatever values it happens to hold."""
    domain = problem.domains.get(column)
    if domain is None:
        return np.dtype(np.int64)
    if domain.nullable:
        return np.dtype(np.float64)
    return np.result_type(*(np.min_scalar_type(min(value, -1 - value)) for value in (domain.minimum, domain.maximum)))
