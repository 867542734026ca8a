"""A model as tables: scores from a few look-ups with numpy alone, in double precision.

A feature of a problem takes whole numbers within known bounds, so whatever a model asks of one value can be answered
beforehand. `trees`: for each value of each feature, which leaves of each tree it leaves within reach, as bits; the bits
of a row's values, and-ed, leave one leaf a tree (QuickScorer: Lucchese et al., SIGIR 2015). `additive`: for each value
its contribution to the log-odds. A feature of many values is cut where the model itself cuts it.

A row on its own is looked up without numpy, whose calls would cost more than what they do: a place's bits of all
trees are one number of Python's. Ten microseconds for a row and sixty for a hundred, where a tree library takes 43 and
590 and brings 40 MB with it (docs/adr/0009-a-compiled-scorer-is-tables.md).
"""

import sys
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
GROUP_BYTES: Final = 128 * 1024  # of what several features leave within reach together, for each of their combinations
FEW_PLACES: Final = 4096  # and the numbers of a row on its own are then a megabyte or so

OUTSIDE: Final = "a value is outside the bounds of the release's schema"

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
        self._missing = np.array([a.size - 1 for a in axes], dtype=np.int64)
        self._demanded = np.array([not a.nullable for a in axes])
        self._edged = [(column, axis) for column, axis in enumerate(axes) if axis.edges is not None]
        trees = tables.reach.shape[1] if tables.kind == "trees" else 1
        self._first_leaf = np.arange(trees, dtype=np.int64) * (len(tables.values) // trees)
        self._raw: Callable[[np.ndarray], np.ndarray] = self._trees if tables.kind == "trees" else self._additive
        self._bits = _bits_of(tables) if tables.kind == "trees" and not self._edged else None
        if tables.kind == "trees":
            self._reach, self._strides, self._starts = _grouped(tables)

    def score(self, matrix: np.ndarray) -> np.ndarray:
        """See Scorer; ValueError for a value that the release's schema doesn't allow."""
        if len(matrix) == 1 and self._bits is not None and matrix.dtype == np.int64:
            return np.array([self._lone(matrix[0].tolist(), self._bits)])
        raw = self._many(self._places(matrix))
        raw += self._tables.base
        # A mean of probabilities may be rounded to a little more than 1.
        return 1 / (1 + np.exp(-raw)) if self._tables.link == "logistic" else raw.clip(0, 1)

    def _many(self, places: np.ndarray) -> np.ndarray:
        if len(places) <= CHUNK_ROWS:
            return self._raw(places)
        parts = range(0, len(places), CHUNK_ROWS)
        return np.concatenate([self._raw(places[start : start + CHUNK_ROWS]) for start in parts])

    def _lone(self, row: list[int], bits: list[dict[int, int]]) -> float:
        reached = -1
        try:
            for value, of_value in zip(row, bits, strict=True):
                reached &= of_value[value]
        except KeyError:
            raise ValueError(OUTSIDE) from None
        reach = self._tables.reach
        found = np.frombuffer(reached.to_bytes(reach.itemsize * reach.shape[1], sys.byteorder), reach.dtype)
        raw = float(np.add.reduce(self._values_of(found - 1))) + self._tables.base
        return 1 / (1 + float(np.exp(-raw))) if self._tables.link == "logistic" else min(max(raw, 0.0), 1.0)

    def _places(self, matrix: np.ndarray) -> np.ndarray:
        """Where each value (rows, features) stands among those of its feature."""
        missing = None
        if matrix.dtype != np.int64:
            missing = np.isnan(matrix)
            if (missing & self._demanded).any():
                raise ValueError("a value is missing that the release's schema demands")
            matrix = np.where(missing, self._minimum, matrix).astype(np.int64)
        places = matrix - self._minimum
        # Below the minimum it is, read as unsigned, larger than any width: one comparison for both bounds.
        if np.count_nonzero(places.view(np.uint64) > self._width):
            raise ValueError(OUTSIDE)
        for column, axis in self._edged:
            places[:, column] = np.searchsorted(axis.edges, matrix[:, column], side="left")  # pyright: ignore[reportCallIssue, reportArgumentType]
        return places if missing is None else np.where(missing, self._missing, places)

    def _trees(self, places: np.ndarray) -> np.ndarray:
        combined = places @ self._strides + self._starts
        reached = np.bitwise_and.reduce(self._reach.take(combined, axis=0), axis=1)
        reached -= 1
        return np.add.reduce(self._values_of(reached), axis=1)

    def _values_of(self, below: np.ndarray) -> np.ndarray:
        """What the leaf of each tree adds; of the bits within reach one was left, and `below` are those below it."""
        return self._tables.values.take(np.bitwise_count(below) + self._first_leaf)

    def _additive(self, places: np.ndarray) -> np.ndarray:
        return np.add.reduce(self._tables.values.take(places + self._start), axis=1)


def _bits_of(tables: Tables) -> list[dict[int, int]] | None:
    """For each feature its values, and the leaves of all trees that each leaves within reach, as one number."""
    if len(tables.reach) > FEW_PLACES:
        return None
    numbers = [int.from_bytes(of_place.tobytes(), sys.byteorder) for of_place in tables.reach]
    return [dict(zip(range(a.minimum, a.maximum + 1), numbers[a.start :], strict=False)) for a in tables.axes]


def _grouped(tables: Tables) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features together: what each combination of their places leaves within reach, so that fewer are looked up.

    (combinations, trees); a row's places, times strides (features, groups), plus starts (groups,), are where they are.
    """
    trees = tables.reach.shape[1]
    most = GROUP_BYTES // (tables.reach.itemsize * trees)
    groups: list[np.ndarray] = []
    strides = np.zeros((len(tables.axes), len(tables.axes)), dtype=np.int64)
    for feature, axis in sorted(enumerate(tables.axes), key=lambda one: -one[1].size):
        own = tables.reach[axis.start : axis.start + axis.size]
        group = next((g for g, found in enumerate(groups) if len(found) * len(own) <= most), len(groups))
        if group == len(groups):
            strides[feature, group] = 1
            groups.append(own)
        else:
            strides[feature, group] = len(groups[group])
            groups[group] = (own[:, None] & groups[group]).reshape(-1, trees)
    starts = np.cumsum([0, *map(len, groups[:-1])])
    return np.concatenate(groups), np.ascontiguousarray(strides[:, : len(groups)]), starts
