"""What of a row is kept: sensitive features are logged as the problem definition says, before anything is written."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ml.problem import Categorical, Problem

__all__ = ["Minimiser"]


class Minimiser:
    """Turns a release's matrix into the log's feature columns."""

    def __init__(self, problem: Problem) -> None:
        self._rules = {name: sensitive.logged for name, sensitive in problem.prediction_log.sensitive.items()}
        self._names = problem.feature_names
        lowest = {f.name: 0 if isinstance(f, Categorical) else f.minimum for f in problem.features}
        self._bounds = {
            attribute.column: np.array([lowest[attribute.column], *attribute.bands])
            for attribute in problem.protected
            if attribute.bands
        }

    def columns(self, names: Sequence[str], matrix: np.ndarray) -> dict[str, "pa.Array[Any]"]:
        """Every feature of the problem from `matrix` (rows, names); null where it is omitted or the release has none.

        A banded value is the lower bound of its band.
        """
        places = {name: place for place, name in enumerate(names)}
        nothing = pa.nulls(len(matrix), pa.int32())
        return {name: self._kept(name, matrix[:, places[name]]) if name in places else nothing for name in self._names}

    def _kept(self, name: str, values: np.ndarray) -> "pa.Array[Any]":
        rule = self._rules.get(name, "exact")
        if rule == "omitted":
            return pa.nulls(len(values), pa.int32())
        missing = np.isnan(values)
        numbers = np.where(missing, 0, values).astype(np.int64)
        if rule == "banded":
            bounds = self._bounds[name]
            numbers = bounds[np.searchsorted(bounds, numbers, side="right") - 1]
        return pa.array(numbers, pa.int32(), mask=missing)
