"""What of a row is kept: sensitive features are logged as the problem definition says, before anything is written."""

from collections.abc import Sequence

import numpy as np

from ml.problem import Categorical, Problem
from ml.serving.log.spool import MISSING

__all__ = ["Minimiser"]


class Minimiser:
    """Turns a release's matrix into the log's features."""

    def __init__(self, problem: Problem) -> None:
        self._rules = {name: sensitive.logged for name, sensitive in problem.prediction_log.sensitive.items()}
        self.names = problem.feature_names
        lowest = {f.name: 0 if isinstance(f, Categorical) else f.minimum for f in problem.features}
        self._bounds = {
            attribute.column: np.array([lowest[attribute.column], *attribute.bands], dtype=np.int32)
            for attribute in problem.protected
            if attribute.bands
        }

    def kept(self, names: Sequence[str], matrix: np.ndarray) -> np.ndarray:
        """Every feature of the problem, int32 (rows, `self.names`), from `matrix` (rows, names).

        MISSING where it is omitted or the release has none; a banded value is the lower bound of its band.
        """
        places = {name: place for place, name in enumerate(names)}
        order = [places.get(name, -1) for name in self.names]
        if matrix.dtype == np.int64:
            whole = matrix.astype(np.int32)
        else:
            whole = np.where(np.isnan(matrix), MISSING, matrix).astype(np.int32)
        found = whole if order == list(range(len(names))) else whole.take(order, axis=1)
        for column, (name, place) in enumerate(zip(self.names, order, strict=True)):
            rule = self._rules.get(name, "exact")
            if rule == "omitted" or place < 0:
                found[:, column] = MISSING
            elif rule == "banded":
                found[:, column] = self._banded(name, found[:, column])
        return found

    def _banded(self, name: str, values: np.ndarray) -> np.ndarray:
        bounds = self._bounds[name]
        missing = values == MISSING
        lower = bounds[np.searchsorted(bounds[1:], values, side="right")]
        return np.where(missing, MISSING, lower)
