"""The latency of a model: what neighbours take must not fail it, and what it waits for itself must not be forgiven."""

import multiprocessing
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from ml.bundle.judgement import latency_calls
from ml.problem import LatencyGate
from ml.training import latency
from ml.training.latency import Latency, measure_latency

ROWS = pd.DataFrame({"a": np.arange(10)})


def gate(maximum_ms: float, rows: int = 1) -> LatencyGate:
    return LatencyGate(rows=rows, quantile=0.95, maximum_ms=maximum_ms)


class Machine:
    """A clock for one thread: each call takes so much wall-clock and processor time, and waits by itself or does not.

    The reference work takes 1 ms of the processor, and `stretch` ms on the wall.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall_s = self.processor_s = self.stretch = 0.0
        self.waits = 0
        monkeypatch.setattr(latency.time, "perf_counter", lambda: self.wall_s)
        monkeypatch.setattr(latency.time, "thread_time", lambda: self.processor_s)
        monkeypatch.setattr(latency, "_waits", lambda: self.waits)
        monkeypatch.setattr(latency, "_reference_work", lambda: self.work(self.stretch, 1.0))

    def work(self, wall_ms: float, processor_ms: float, waits: bool = False) -> None:
        self.wall_s += wall_ms / 1000
        self.processor_s += processor_ms / 1000
        self.waits += waits


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def about(ms: float) -> Latency:
    """So much, of a hundred calls."""
    expected: float = pytest.approx(ms)  # pyright: ignore[reportAssignmentType] # compares as one
    return Latency(expected, 100)


def test_it_is_the_quantile_of_calls_of_so_many_rows() -> None:
    sizes: list[int] = []
    found = measure_latency(lambda rows: sizes.append(len(rows)), ROWS, gate(1000.0, rows=3))
    assert set(sizes) == {3}
    assert found.calls == latency_calls(gate(1000.0)) == 100
    assert len(sizes) >= found.calls
    assert found.ms is not None
    assert found.ms >= 0


def test_a_far_quantile_takes_more_calls() -> None:
    assert latency_calls(LatencyGate(rows=1, quantile=0.999, maximum_ms=1)) == 5000


@pytest.mark.parametrize("rows", [0, 2])
def test_fewer_rows_than_a_request_has_are_not_judged(rows: int) -> None:
    found = measure_latency(lambda _: None, ROWS.head(rows), gate(1.0, rows=3))
    assert (found.ms, found.calls) == (None, 0)
    assert found.why_not == f"the gate asks for 3 rows at once; there are {rows} to score"


def test_a_moment_of_other_work_is_forgotten(machine: Machine) -> None:
    calls = iter(range(10_000))
    machine.stretch = 1.0
    found = measure_latency(lambda _: machine.work(50.0 if next(calls) < 150 else 1.0, 1.0), ROWS, gate(10.0))
    assert found == about(1.0)


def test_a_slow_model_on_a_quiet_machine_is_slow(machine: Machine) -> None:
    machine.stretch = 1.0
    assert measure_latency(lambda _: machine.work(50.0, 50.0), ROWS, gate(10.0)) == about(50.0)


def test_a_model_that_waits_on_a_quiet_machine_is_slow(machine: Machine) -> None:
    machine.stretch = 1.0
    found = measure_latency(lambda _: machine.work(50.0, 1.0, waits=True), ROWS, gate(10.0))
    assert found == about(50.0)


def test_neighbours_that_never_rest_do_not_fail_a_fast_model(machine: Machine) -> None:
    machine.stretch = 10.0
    assert measure_latency(lambda _: machine.work(50.0, 2.0), ROWS, gate(10.0)) == about(2.0)


def test_neighbours_do_not_excuse_a_slow_model(machine: Machine) -> None:
    machine.stretch = 10.0
    found = measure_latency(lambda _: machine.work(500.0, 50.0), ROWS, gate(10.0))
    assert found == about(50.0)


def test_a_model_that_waits_among_neighbours_can_not_be_judged(machine: Machine) -> None:
    """Whether the wait was its own or the neighbours' can't be told, so it is neither fast nor slow."""
    machine.stretch = 10.0
    found = measure_latency(lambda _: machine.work(50.0, 2.0, waits=True), ROWS, gate(10.0))
    assert found.ms == pytest.approx(50.0)
    assert "too busy to judge" in str(found.why_not)


def test_where_the_system_counts_no_waits_a_busy_machine_can_not_judge(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "_waits", lambda: None)
    machine.stretch = 10.0
    assert measure_latency(lambda _: machine.work(50.0, 2.0), ROWS, gate(10.0)).why_not is not None


def _spin() -> None:
    while True:
        sum(range(100_000))


@pytest.fixture
def neighbours() -> Iterator[None]:
    started = [multiprocessing.get_context("spawn").Process(target=_spin, daemon=True) for _ in range(4)]
    for process in started:
        process.start()
    yield
    for process in started:
        process.kill()
        process.join()


@pytest.mark.usefixtures("neighbours")
def test_on_a_machine_that_is_really_busy_a_fast_model_passes_and_one_that_sleeps_does_not() -> None:
    found = measure_latency(lambda _: sum(range(20_000)), ROWS, gate(20.0))
    assert found.why_not is None
    assert found.ms is not None
    assert found.ms <= 20.0
    asleep = measure_latency(lambda _: time.sleep(0.03), ROWS, gate(20.0))
    assert asleep.ms is not None
    assert asleep.ms > 20.0
