"""What the monitor looks at: the logged predictions of a window, those whose label is known, and the reference."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from ml.arrow import in_memory
from ml.bundle.bundle import read_file, read_manifest
from ml.bundle.manifest import Manifest
from ml.errors import InputRefused
from ml.feedback.labels import joined
from ml.monitoring.report import Window
from ml.predictions import read_log
from ml.problem import Problem
from ml.serving.log.minimise import Minimiser
from ml.serving.log.spool import MISSING
from ml.store import Store

__all__ = ["Live", "Reference", "read_live", "read_reference", "window_of"]

# As training names them: ml.training is not imported, the monitor runs without the training libraries.
REFERENCE_FILE: Final = "reference.parquet"
SCORE: Final = "score"
SHADOW: Final = "shadow"
CHAMPION: Final = "champion"


@dataclass(frozen=True)
class Live:
    """Answered predictions: of the window, of the equally long one before it, and those whose label is known.

    `rows` has the features, at, release, role, score and decision; `labelled` has label too; `before` has at, release
    and role.
    """

    rows: pl.DataFrame
    before: pl.DataFrame
    labelled: pl.DataFrame

    def of(self, release: str) -> "Live":
        """The predictions of one release."""
        mine = pl.col("release") == release
        return Live(self.rows.filter(mine), self.before.filter(mine), self.labelled.filter(mine))

    @property
    def releases(self) -> list[str]:
        """The releases that answered, the present champion first."""
        answered = pl.concat([part.select("at", "release", "role") for part in (self.rows, self.before, self.labelled)])
        newest = answered.sort(pl.col("role") == CHAMPION, "at", descending=True)
        return newest["release"].unique(maintain_order=True).to_list()


@dataclass(frozen=True)
class Reference:
    """A release's manifest, and its reference data with the features that the log keeps and the score."""

    release: str
    manifest: Manifest
    rows: pl.DataFrame
    not_logged: tuple[str, ...]


def window_of(problem: Problem, since: datetime | None, until: datetime | None, now: datetime) -> Window:
    """The window that was asked for, else the problem's up to now; InputRefused for one that ends before it begins."""
    until = until or now
    start = since or until - timedelta(hours=problem.monitoring.window_hours)
    if start >= until:
        raise InputRefused(f"The window begins {start.isoformat()} and ends {until.isoformat()}: it holds nothing.")
    return Window(start, until, since or until - timedelta(days=problem.monitoring.labelled_days))


def read_live(store: Store, problem: Problem, window: Window) -> Live:
    """The predictions that were answered; a shadow's answers, which nobody was given, are left out."""
    columns = [*problem.feature_names, "at", "release", "role", "score", "decision"]
    log = pl.DataFrame(read_log(store, problem, window.since, window.until, columns)).filter(pl.col("role") != SHADOW)
    start = window.since - (window.until - window.since)
    before = pl.DataFrame(read_log(store, problem, start, window.since, ["at", "release", "role"]))
    labelled = pl.DataFrame(joined(store, problem, window.labelled_since, window.until)).select([*log.columns, "label"])
    return Live(log, before.filter(pl.col("role") != SHADOW), labelled)


def read_reference(store: Store, problem: Problem, release: str) -> Reference:
    """The reference data of a release's bundle, minimised as the log is; ReleaseRefused when it was altered."""
    manifest = read_manifest(store, release)
    rows = pl.DataFrame(pq.read_table(in_memory(read_file(store, release, manifest, REFERENCE_FILE))))
    known = [name for name in problem.feature_names if name in rows.columns]
    matrix = rows.select(known).to_numpy().astype(np.float64)
    kept = pl.DataFrame(Minimiser(problem).kept(known, matrix), schema=problem.feature_names, orient="row")
    kept = kept.with_columns(pl.all().replace(MISSING, None))
    omitted = tuple(name for name in kept.columns if kept[name].null_count() == len(kept) > 0)
    return Reference(release, manifest, kept.drop(omitted).with_columns(rows[SCORE]), omitted)
