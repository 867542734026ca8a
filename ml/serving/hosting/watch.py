"""A challenger beside its champion: their newest answers, and whether the limits of the problem definition hold."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from ml.problem import Canary

__all__ = ["Breach", "Watch", "stability_index"]

BINS: Final = 10
JUDGED_EVERY: Final = 20  # answers of the challenger
RARE: Final = 1e-4  # stands for an empty bin's share, whose logarithm would have no end

Side = Literal["champion", "challenger"]


@dataclass(frozen=True)
class Breach:
    """The limit that was crossed, and by how much, in a sentence."""

    cause: Literal["errors", "latency", "scores"]
    reason: str


class _Recent:
    """The newest durations in seconds, scores and failures of one side."""

    def __init__(self, window: int) -> None:
        self.durations_s: deque[float] = deque(maxlen=window)
        self.scores: deque[float] = deque(maxlen=window)
        self.failures: deque[bool] = deque(maxlen=window)


class Watch:
    """Takes the answers of both; `breach` is set by the first limit that is crossed. Safe to use from threads."""

    def __init__(self, limits: Canary) -> None:
        self._limits = limits
        self._sides = {side: _Recent(limits.window) for side in ("champion", "challenger")}
        self._lock = threading.Lock()
        self._unjudged = 0
        self.breach: Breach | None = None

    @property
    def is_judged(self) -> bool:
        """Whether there are answers and scores enough of both to hold to the limits; before, only errors count."""
        with self._lock:
            return all(
                min(len(side.durations_s), len(side.scores)) >= self._limits.minimum for side in self._sides.values()
            )

    def answered(self, side: Side, scores: np.ndarray, duration_s: float) -> None:
        """One request was scored."""
        with self._lock:
            recent = self._sides[side]
            recent.durations_s.append(duration_s)
            recent.scores.extend(scores[-self._limits.window :].tolist())
            if side == "challenger":
                recent.failures.append(False)
                self._unjudged += 1
                if self._unjudged >= JUDGED_EVERY:
                    self._unjudged = 0
                    self.breach = self.breach or self._errors() or self._latency() or self._scores()

    def failed(self) -> None:
        """The challenger could not score a request that the champion can."""
        with self._lock:
            self._sides["challenger"].failures.append(True)
            self.breach = self.breach or self._errors()

    def _errors(self) -> Breach | None:
        failures, limits = self._sides["challenger"].failures, self._limits
        count, requests = sum(failures), max(len(failures), limits.minimum)
        if count <= limits.maximum_error_rate * requests:
            return None
        return Breach(
            "errors",
            f"it failed {count} of its newest {len(failures)} requests; "
            f"at most {limits.maximum_error_rate:.1%} of {requests} are let pass",
        )

    def _latency(self) -> Breach | None:
        limit = self._limits.latency
        champion, challenger = (self._sides[side].durations_s for side in ("champion", "challenger"))
        if min(len(champion), len(challenger)) < self._limits.minimum:
            return None
        theirs, its = (float(np.quantile(d, limit.quantile)) * 1000 for d in (champion, challenger))
        if its <= limit.maximum_ms or its <= limit.maximum_ratio * theirs:
            return None
        return Breach(
            "latency",
            f"it takes {its:.1f} ms at the {limit.quantile:.0%} quantile, the champion {theirs:.1f} ms; "
            f"at most {limit.maximum_ms:g} ms or {limit.maximum_ratio:g} times the champion's are let pass",
        )

    def _scores(self) -> Breach | None:
        champion, challenger = (self._sides[side].scores for side in ("champion", "challenger"))
        if min(len(champion), len(challenger)) < self._limits.minimum:
            return None
        index = stability_index(np.array(champion), np.array(challenger))
        if index <= self._limits.maximum_score_psi:
            return None
        return Breach(
            "scores",
            f"its scores are distributed otherwise than the champion's: population stability index {index:.2f} over "
            f"{len(challenger)} and {len(champion)} scores, at most {self._limits.maximum_score_psi:g} is let pass",
        )


def stability_index(expected: np.ndarray, found: np.ndarray) -> float:
    """The population stability index of two samples, in bins of equal share of `expected` (Siddiqi, 2006).

    A score that fills several bins gets one of its own, as the monitor has it: scores that are all alike, or of two
    values, would have one bin in common with any other.
    """
    inner = np.quantile(expected, np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf")
    edges, filled = np.unique(inner, return_counts=True)
    edges = np.unique([*edges, *np.nextafter(edges[filled > 1], -np.inf)])
    shares = [
        np.maximum(
            np.bincount(np.searchsorted(edges, sample, side="left"), minlength=len(edges) + 1) / len(sample), RARE
        )
        for sample in (expected, found)
    ]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
