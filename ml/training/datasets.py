"""The data that a training on a platform reads: checked, and brought into the store."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

from ml.data.read import ingest
from ml.problem import Problem
from ml.store import Store

__all__ = ["key_of_dataset", "upload"]

DATASETS: Final = "datasets"  # the prefix of the store that jobs are told of
Progress = Callable[[str], None]


def upload(problem: Problem, store: Store, root: Path, progress: Progress) -> None:
    """What the training reads, under the names that it looks for; bytes that are there already stay."""
    for name in (problem.split.train, problem.split.test):
        kept = ingest(problem, name, store, root).uri  # checked: what is not the problem's dataset is refused
        content = store.read(kept.removeprefix(f"{store.uri}/"))
        target = key_of_dataset(problem, name)
        if store.exists(target) and store.read(target) == content:
            continue
        progress(f"Bringing the dataset {name} to {store.url(target)}")
        store.write(target, content)


def key_of_dataset(problem: Problem, name: str) -> str:
    """Where the store has the dataset for jobs."""
    return f"{DATASETS}/{PurePosixPath(problem.datasets.files[name].path).name}"
