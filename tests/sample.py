"""A sample of the real data, and the project's problem about it: for trainings that take seconds."""

import hashlib
from pathlib import Path

from ml.problem import Datasets, Problem, load_problem
from tests.conftest import REFERENCE

ROWS = 6000

__all__ = ["problem_of", "write_sample"]


def write_sample(folder: Path) -> None:
    """Write the first rows of each data file into a folder."""
    import pandas as pd

    for entry in load_problem().datasets.files.values():
        sample = pd.read_parquet(REFERENCE / "data" / entry.path).head(ROWS)
        sample.to_parquet(folder / entry.path, index=False)


def problem_of(checkout: Path, name: str) -> Problem:
    """The project's problem about that folder's files, in an experiment of its own."""
    problem = load_problem()
    files = {
        key: entry.model_copy(update={"sha256": hashlib.sha256((checkout / entry.path).read_bytes()).hexdigest()})
        for key, entry in problem.datasets.files.items()
    }
    datasets = Datasets(**{**problem.datasets.model_dump(), "root": ".", "files": files})
    return problem.model_copy(update={"name": name, "datasets": datasets})
