"""Why a case has its score: as it was logged or, where nobody had asked, worked out by the release that gave it."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ml.errors import MlopsError
from ml.feedback.queue import Case
from ml.model.requests import RequestRefused
from ml.problem import Problem
from ml.store import Store

if TYPE_CHECKING:
    from ml.model.model import ServedModel

__all__ = ["Reasons"]

KEPT_MODELS: Final = 2  # champion and challenger
KEPT_CASES: Final = 500
SAME_SCORE: Final = 1e-6

log = logging.getLogger(__name__)


class _Coming:
    """Stands for reasons that are being worked out."""


COMING: Final = _Coming()


class Reasons:
    """Of the cases of one environment; a release is loaded when the first of its cases is shown."""

    def __init__(self, store: Store, problem: Problem) -> None:
        self._store, self._problem = store, problem
        self._models: OrderedDict[str, ServedModel] = OrderedDict()
        self._lock, self._asking = threading.Lock(), threading.Lock()
        self._beside: OrderedDict[str, str | _Coming | None] = OrderedDict()  # by case, what was begun last at the end

    def beside(self, case: Case, row: Mapping[str, Any]) -> "tuple[str | None, bool]":
        """The reasons, if there are any by now, and whether they are still to come: they are worked out beside.

        Nobody waits for a release to be loaded; ask again a little later.
        """
        if row.get("reasons"):
            return row.get("reasons"), False
        with self._asking:
            if case.case not in self._beside:
                self._beside[case.case] = COMING
                # A thread that the process doesn't wait for when it ends: what it makes is only shown.
                threading.Thread(target=self._work_out, args=(case, row), daemon=True).start()
            found = self._beside[case.case]
        return (None, True) if isinstance(found, _Coming) else (found, False)

    def _work_out(self, case: Case, row: Mapping[str, Any]) -> None:
        found: str | None = None
        try:
            found = self.of(case, row)
        finally:  # a mistake of ours is in the log of the thread; the page must not wait for ever
            with self._asking:
                self._beside[case.case] = found
                while len(self._beside) > KEPT_CASES:
                    self._beside.popitem(last=False)

    def of(self, case: Case, row: Mapping[str, Any]) -> str | None:
        """What the log would hold had somebody asked; None where the row or the release can't be asked again."""
        if row.get("reasons") or self._problem.prediction_log.coarse:
            return row.get("reasons")
        body = msgspec.json.encode({name: row[name] for name in self._problem.feature_names})
        try:
            with self._lock:
                model = self._model(case.release)
            scored = model.score(model.read(body))
            if abs(float(scored.scores[0]) - case.score) > SAME_SCORE:
                raise MlopsError(f"asked again it gives {scored.scores[0]:.4f}, not {case.score:.4f}")
            return model.explain(scored).as_json()[0]
        except (MlopsError, RequestRefused, OSError) as error:  # the case can be decided without
            log.warning("The case %s has no reasons: %s", case.case, error)
            return None

    def _model(self, release: str) -> "ServedModel":
        from ml.model.model import ServedModel
        from ml.scoring.model import verified_bundle  # seconds: not before a case is shown

        if release not in self._models:
            with verified_bundle(self._store, release) as (folder, manifest):
                self._models[release] = ServedModel.load(folder, manifest, maximum_rows=1)
        self._models.move_to_end(release)
        while len(self._models) > KEPT_MODELS:
            self._models.popitem(last=False)
        return self._models[release]
