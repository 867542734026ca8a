"""What releases saw in training, from the reference rows in their bundles."""

import io
from collections.abc import Iterable

import polars as pl

from ml.errors import ReleaseRefused
from ml.feedback.selection import TrainingRange
from ml.problem import Problem
from ml.release._canonical import sha256
from ml.release.bundle import key_of, read_manifest
from ml.store import Store
from ml.training.evaluation import REFERENCE_FILE

__all__ = ["training_ranges"]


def training_ranges(store: Store, problem: Problem, releases: Iterable[str]) -> dict[str, TrainingRange]:
    """By release; a release that the store no longer has, or that was altered, has none."""
    ranges: dict[str, TrainingRange] = {}
    for release in releases:
        try:
            expected = read_manifest(store, release).files[REFERENCE_FILE]
            content = store.read(f"{key_of(release)}/{REFERENCE_FILE}")
        except (ReleaseRefused, FileNotFoundError, KeyError):
            continue
        if sha256(content) == expected:
            ranges[release] = TrainingRange.of(problem, pl.read_parquet(io.BytesIO(content)))
    return ranges
