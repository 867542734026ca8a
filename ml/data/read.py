"""Data files: read one, check it, and keep its bytes in the object store under their digest."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ml.data.quality import check, require
from ml.problem import Problem
from ml.store import Store

__all__ = ["Dataset", "ingest", "read_file"]


@dataclass(frozen=True)
class Dataset:
    """A raw data file that passed its checks: `digest` is "sha256:…" of its bytes, `uri` its place in the store."""

    name: str
    frame: pd.DataFrame
    digest: str
    uri: str


def read_file(problem: Problem, file: Path | str, *, labelled: bool = True) -> pd.DataFrame:
    """The rows of one raw file, parquet or CSV, checked; DataRefused names everything that is wrong with it."""
    frame = pd.read_parquet(file)
    require(check(problem, frame, "raw", Path(file).name, labelled=labelled))
    return frame


def ingest(problem: Problem, name: str, store: Store, root: Path) -> Dataset:
    """The dataset `name` of the problem, from the checkout at `root` or else from the store, where it is kept once."""
    entry = problem.datasets.files[name]
    content = (root / problem.datasets.root / entry.path).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    key = f"data/{problem.name}/{name}/{digest}.parquet"
    if not store.exists(key):
        store.create(key, content)
    return Dataset(name, pd.read_parquet(io.BytesIO(content)), f"sha256:{digest}", store.url(key))
