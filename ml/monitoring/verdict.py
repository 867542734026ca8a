"""Whether what serves is what the environment's ledger allows, and says."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ml.errors import MlopsError
from ml.release.allowed import Place, deployed, require_allowed
from ml.store import Store

__all__ = ["Judge", "Verdict"]

TRUSTED_S: Final = 60.0  # a good verdict is taken again after that: every byte of the release is read for it


@dataclass(frozen=True)
class Verdict:
    """Whether it holds, and why or why not, in a sentence."""

    holds: bool
    reason: str


class Judge:
    """Compares the releases that an endpoint names with a ledger; a bad verdict is looked at again each time."""

    def __init__(self, store: Store, place: Place) -> None:
        self.stack = place.stack
        self._store = store
        self._place = place
        self._last: tuple[tuple[str, ...], float] | None = None
        self._verdict = Verdict(False, "nothing was looked at yet")

    def __call__(self, releases: Sequence[str]) -> Verdict:
        """What to say of these releases, the champion first; no release can't be judged, and doesn't pass."""
        now = time.monotonic()
        if self._verdict.holds and self._last and self._last[0] == tuple(releases) and now - self._last[1] < TRUSTED_S:
            return self._verdict
        self._last = (tuple(releases), now)
        try:
            self._verdict = self._judged(releases)
        except (MlopsError, OSError) as error:
            self._verdict = Verdict(False, str(error))
        return self._verdict

    def _judged(self, releases: Sequence[str]) -> Verdict:
        if not releases:
            return Verdict(False, "the endpoint names no release, so nothing can be said of it")
        ledger = self._place.ledger(self._store)
        for release in releases:
            require_allowed(self._store, ledger, self._place.rules, release)
        said = deployed(ledger)
        if releases[0] != said:
            return Verdict(False, f"{releases[0]} serves, but the ledger says that {said or 'nothing'} was deployed")
        return Verdict(True, "it is what was deployed, and the ledger allows it")
