"""A model as tables: scores from a few look-ups with numpy alone, in double precision.

A feature of a problem takes whole numbers within known bounds, so whatever a model asks of one value can be answered
beforehand. `trees`: for each value of each feature, which leaves of each tree it leaves within reach, as bits; the bits
of a row's values, and-ed, leave one leaf a tree (QuickScorer: Lucchese et al., SIGIR 2015). `additive`: for each value
its contribution to the log-odds. A feature of many values is cut where the model itself cuts it.

Ten microseconds for a row and sixty for a hundred, where a tree library takes 43 and 590 and brings 40 MB with it
(docs/adr/0009-a-compiled-scorer-is-tables.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, Self
from zipfile import BadZipFile

import numpy as np

from ml.errors import ReleaseRefused

__all__ = ["COMPILED_FILE", "Axis", "CompiledScorer", "Tables"]

COMPILED_FILE: Final = "scorer.npz"
CHUNK_ROWS: Final = 256  # what is looked up for so many rows stays in the processor's cache

Link = Literal["logistic", "identity"]


class Axis(NamedTuple):
    """The values of one feature, cut into `size` places of the tables, from `start` on.

    Without `edges` a place is one value, counted from `minimum`; with them a place ends at each edge, edge included.
    A missing value has the last place of a nullable feature.
    """

    start: int
    size: int
    minimum: int
    maximum: int
    nullable: bool
    edges: np.ndarray | None = None


@dataclass(frozen=True)
class Tables:
    """What a compiled model is made of.

    Of trees `reach` is (places, trees), the leaves within reach as bits, and `values` (trees * leaves,) what each leaf
    adds. Of an additive model `reach` is empty and `values` is (places,). Either way the score is the link of `base`
    and the values' sum.
    """

    kind: Literal["trees", "additive"]
    axes: tuple[Axis, ...]
    values: np.ndarray
    reach: np.ndarray
    base: float
    link: Link

    def save(self, folder: Path) -> None:
        """Write the tables into a bundle; the same tables give the same bytes."""
        axes = [(a.start, a.size, a.minimum, a.maximum, a.nullable, a.edges is not None) for a in self.axes]
        edges = {f"edges_{i}": axis.edges for i, axis in enumerate(self.axes) if axis.edges is not None}
        np.savez(
            folder / COMPILED_FILE,
            allow_pickle=False,
            kind=np.array(self.kind),
            link=np.array(self.link),
            base=np.array(self.base),
            axes=np.array(axes, dtype=np.int64),
            values=self.values,
            reach=self.reach,
            **edges,
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a bundle's tables; ReleaseRefused when this version can't."""
        try:
            with np.load(folder / COMPILED_FILE, allow_pickle=False) as found:
                axes = tuple(
                    Axis(start, size, low, high, bool(nullable), found[f"edges_{i}"] if has_edges else None)
                    for i, (start, size, low, high, nullable, has_edges) in enumerate(found["axes"].tolist())
                )
                kind, link = str(found["kind"]), str(found["link"])
                if kind not in ("trees", "additive") or link not in ("logistic", "identity"):
                    raise ValueError(f"{kind!r} tables with the link {link!r}")
                return cls(kind, axes, found["values"], found["reach"], float(found["base"]), link)
        except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
            raise ReleaseRefused(
                f"The bundle's {COMPILED_FILE} is not one that this version reads: {error}. "
                "Release the model again with this version."
            ) from error


class CompiledScorer:
    """Scores with tables; a row's score is the same to the bit whatever rows stand beside it."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        axes = tables.axes
        self._minimum = np.array([a.minimum for a in axes], dtype=np.int64)
        self._width = np.array([a.maximum - a.minimum for a in axes], dtype=np.uint64)
        self._start = np.array([a.start for a in axes], dtype=np.int64)
        self._missing = np.array([a.start + a.size - 1 for a in axes], dtype=np.int64)
        self._demanded = np.array([not a.nullable for a in axes])
        self._edged = [(column, axis) for column, axis in enumerate(axes) if axis.edges is not None]
        trees = tables.reach.shape[1] if tables.kind == "trees" else 1
        self._first_leaf = np.arange(trees, dtype=np.int64) * (len(tables.values) // trees)
        self._raw: Callable[[np.ndarray], np.ndarray] = self._trees if tables.kind == "trees" else self._additive

    def score(self, matrix: np.ndarray) -> np.ndarray:
        """See Scorer; ValueError for a value that the release's schema doesn't allow."""
        places = self._places(matrix)
        if len(places) <= CHUNK_ROWS:
            raw = self._raw(places)
        else:
            parts = range(0, len(places), CHUNK_ROWS)
            raw = np.concatenate([self._raw(places[start : start + CHUNK_ROWS]) for start in parts])
        raw += self._tables.base
        # A mean of probabilities may be rounded to a little more than 1.
        return 1 / (1 + np.exp(-raw)) if self._tables.link == "logistic" else raw.clip(0, 1)

    def _places(self, matrix: np.ndarray) -> np.ndarray:
        """Where each value (rows, features) stands in the tables."""
        missing = None
        if matrix.dtype != np.int64:
            missing = np.isnan(matrix)
            if (missing & self._demanded).any():
                raise ValueError("a value is missing that the release's schema demands")
            matrix = np.where(missing, self._minimum, matrix).astype(np.int64)
        places = matrix - self._minimum
        # Below the minimum it is, read as unsigned, larger than any width: one comparison for both bounds.
        if np.count_nonzero(places.view(np.uint64) > self._width):
            raise ValueError("a value is outside the bounds of the release's schema")
        for column, axis in self._edged:
            places[:, column] = np.searchsorted(axis.edges, matrix[:, column], side="left")  # pyright: ignore[reportCallIssue, reportArgumentType]
        places += self._start
        return places if missing is None else np.where(missing, self._missing, places)

    def _trees(self, places: np.ndarray) -> np.ndarray:
        tables = self._tables
        reached = np.bitwise_and.reduce(tables.reach.take(places, axis=0), axis=1)
        reached -= 1  # one bit is left: what is below it counts the leaves before it
        return np.add.reduce(tables.values.take(np.bitwise_count(reached) + self._first_leaf), axis=1)

    def _additive(self, places: np.ndarray) -> np.ndarray:
        return np.add.reduce(self._tables.values.take(places), axis=1)
