"""How long a model takes for a few rows, measured so that other work on the machine does not decide.

What a caller waits is wall-clock time. Neighbours make it longer, never shorter, so that the best of several rounds
counts; and where it is beyond the limit in all of them, the processor time of the calls and a fixed piece of work that
is done beside each say whether the model or the machine is slow.
"""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ml.bundle.judgement import latency_calls
from ml.problem import LatencyGate

__all__ = ["Latency", "measure_latency"]

ROUNDS: Final = 8
WARM_UP_CALLS: Final = 5
REFERENCE_STEPS: Final = 10_000  # about a third of a millisecond
BUSY: Final = 1.5  # times its processor time that the reference work takes, from which on the machine is busy


@dataclass(frozen=True)
class Latency:
    """The gate's quantile of `calls` calls in ms; `why_not` says why it can't be judged, where it can't."""

    ms: float | None
    calls: int
    why_not: str | None = None


class _Call(NamedTuple):
    """What one call took, and whether it gave the processor up itself: waited for a file, a lock, the network."""

    wall_ms: float
    processor_ms: float
    waited: bool


class _Round(NamedTuple):
    calls: list[_Call]
    reference: list[_Call]

    def wall_ms(self, quantile: float) -> float:
        return float(np.quantile([call.wall_ms for call in self.calls], quantile))

    def own_ms(self, quantile: float) -> float:
        """Without what neighbours took: processor time, and all of a call that waited by itself."""
        return float(np.quantile([c.wall_ms if c.waited else c.processor_ms for c in self.calls], quantile))

    @property
    def least_ms(self) -> float:
        """The processor time that no call does without."""
        return min(call.processor_ms for call in self.calls)

    @property
    def is_disturbed(self) -> bool:
        """Whether the reference work, which never waits, did not have the processor to itself."""
        return sum(c.wall_ms for c in self.reference) > BUSY * sum(c.processor_ms for c in self.reference)


def measure_latency(predict: Callable[[pd.DataFrame], object], frame: pd.DataFrame, gate: LatencyGate) -> Latency:
    """The gate's quantile of the time that `predict` takes on `gate.rows` rows of `frame`, warmed up.

    Not judged where there are fewer rows than that, or where the machine is too busy to tell.
    """
    if len(frame) < gate.rows:
        return Latency(None, 0, f"the gate asks for {gate.rows:,} rows at once; there are {len(frame):,} to score")
    calls = latency_calls(gate)
    starts = range(0, min(len(frame), calls * gate.rows) - gate.rows + 1, gate.rows)
    batches = [frame.iloc[start : start + gate.rows] for start in starts]
    rounds: list[_Round] = []
    with threadpool_limits(1):  # as a server runs it: for so few rows, starting threads costs more than they save
        for batch in batches[:WARM_UP_CALLS]:
            predict(batch)
        for _ in range(ROUNDS):
            rounds.append(_timed(predict, batches, calls))
            if rounds[-1].wall_ms(gate.quantile) <= gate.maximum_ms or rounds[-1].least_ms > gate.maximum_ms:
                break
    return _judged(rounds, gate, calls)


def _judged(rounds: list[_Round], gate: LatencyGate, calls: int) -> Latency:
    best = min(rounds, key=lambda each: each.wall_ms(gate.quantile))
    wall_ms, own_ms = best.wall_ms(gate.quantile), best.own_ms(gate.quantile)
    if wall_ms <= gate.maximum_ms or not best.is_disturbed:
        return Latency(wall_ms, calls)
    if own_ms <= gate.maximum_ms or best.least_ms > gate.maximum_ms:
        return Latency(own_ms, calls)
    return Latency(
        wall_ms,
        calls,
        f"the machine is too busy to judge: {wall_ms:.1f} ms, but work that should take no longer than its processor "
        "time takes much longer too; try again when less is running",
    )


def _timed(predict: Callable[[pd.DataFrame], object], batches: list[pd.DataFrame], calls: int) -> _Round:
    found = _Round([], [])
    for number in range(calls):
        batch = batches[number % len(batches)]
        found.calls.append(_call(lambda batch=batch: predict(batch)))
        found.reference.append(_call(_reference_work))
    return found


def _call(work: Callable[[], object]) -> _Call:
    waits, wall, processor = _waits(), time.perf_counter(), time.thread_time()
    work()
    wall_ms, processor_ms = (time.perf_counter() - wall) * 1000, (time.thread_time() - processor) * 1000
    now = _waits()
    # Where nobody counts the waits, every call may have waited.
    return _Call(wall_ms, processor_ms, waits is None or now is None or now > waits)


def _waits() -> int | None:
    """How often this thread gave the processor up by itself; None where the system doesn't say."""
    this_thread = getattr(resource, "RUSAGE_THREAD", None)  # Linux has it, macOS does not
    return None if this_thread is None else resource.getrusage(this_thread).ru_nvcsw


def _reference_work() -> int:
    return sum(range(REFERENCE_STEPS))
