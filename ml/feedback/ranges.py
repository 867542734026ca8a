"""What releases saw in training, from the reference rows in their bundles."""

import io
from collections.abc import Iterable

import polars as pl

from ml.bundle.bundle import read_file, read_manifest
from ml.bundle.evaluation import REFERENCE_FILE
from ml.errors import ReleaseRefused
from ml.feedback.selection import TrainingRange
from ml.problem import Problem
from ml.store import Store

__all__ = ["training_ranges"]


def training_ranges(store: Store, problem: Problem, releases: Iterable[str]) -> dict[str, TrainingRange]:
    """By release; a release that the store no longer has, or that was altered, has none."""
    ranges: dict[str, TrainingRange] = {}
    for release in releases:
        try:
            content = read_file(store, release, read_manifest(store, release), REFERENCE_FILE)
        except (ReleaseRefused, FileNotFoundError):
            continue
        ranges[release] = TrainingRange.of(problem, pl.read_parquet(io.BytesIO(content)))
    return ranges
