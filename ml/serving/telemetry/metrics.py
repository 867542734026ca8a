"""What a model server tells Prometheus."""

import os
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from ml.bundle.manifest import Manifest
from ml.serving.deployment import Stated

__all__ = ["PREDICTIONS", "ServerMetrics"]

PREDICTIONS: Final = "mlops_predictions"
LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SCORE_BUCKETS: Final = tuple(n / 10 for n in range(1, 11))
LATENCY_BOUNDS_S, SCORE_BOUNDS = np.array(LATENCY_BUCKETS_S), np.array(SCORE_BUCKETS)
SETTLED_AT: Final = 1000  # requests
REASONS: Final = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    415: "media_type",
    422: "unfitting",
    429: "overloaded",
    431: "head_too_large",
    500: "failed",
    501: "not_offered",
    503: "unavailable",
}


class ServerMetrics:
    """The metrics of one server; each server has a registry of its own. `in_flight` is kept by who answers requests.

    Workers keep their counters in files in `shared`, where whoever is asked adds them up, those of dead ones too; what
    is true at one moment each says for itself in `state`.
    """

    def __init__(self, shared: Path | None = None) -> None:
        self.in_flight = 0
        self._shared = shared
        self._states: list[dict[str, Any]] = []
        self._release: tuple[str, str, str] | None = None
        self._challenger: tuple[str, str, str] | None = None
        self._log_queue: Callable[[], int] = lambda: 0
        self._registry = CollectorRegistry()
        self._shown = self._registry if shared is None else CollectorRegistry()
        if shared is not None:
            MultiProcessCollector(self._shown, str(shared))
        self._shown.register(_Now(self._now))
        self._shown.register(_Now(self._processes))
        PlatformCollector(registry=self._shown)
        self._requests = self._counter("mlops_requests", "Requests by route and status.", "route", "status")
        self._latency = self._histogram(
            "mlops_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            "route",
            LATENCY_BUCKETS_S,
        )
        self._refusals = self._counter("mlops_refusals", "Requests that were not answered, by the reason.", "reason")
        self._access_failures = self._counter(
            "mlops_access_failures", "Requests of callers who were not let in, by the reason.", "reason"
        )
        self._predictions = self._counter(PREDICTIONS, "Predictions by release and decision.", "release", "decision")
        self._scores = self._histogram("mlops_score", "Scores by release.", "release", SCORE_BUCKETS)
        self._logged = self._counter(
            "mlops_prediction_log_rows",
            "Rows of the prediction log, by what became of them: spooled, stored, dropped, or discarded later.",
            "result",
        )
        self._challenged = self._counter(
            "mlops_challenger_requests",
            "Requests for the challenger: answered, failed, or skipped because its shadow was behind.",
            *("release", "mode", "result"),
        )
        self._returns = self._counter(
            "mlops_challenger_returns", "Challengers taken out of use, by the limit they crossed.", "cause"
        )
        self._loads = self._counter("mlops_release_loads", "Releases loaded, by result.", "result")
        self._decided, self._scored = cache(self._predictions.labels), cache(self._scores.labels)
        self._refused = cache(self._refusals.labels)
        # What every request counts is put down here first: the library's own counting takes several microseconds.
        self._answered: Tally[tuple[str, int]] = Tally()
        self._durations_s: dict[str, list[float]] = {}
        self._unsettled = 0

    def observe_request(self, route: str, status: int, duration_s: float) -> None:
        """One answered request; from the event loop alone."""
        self._answered[route, status] += 1
        self._durations_s.setdefault(route, []).append(duration_s)
        self._unsettled += 1
        if self._unsettled >= SETTLED_AT:
            self.settle()
        if status >= 400:
            self.observe_refusal(status)

    def settle(self) -> None:
        """Count what was put down: when there is much, when somebody asks, and now and then for other workers."""
        answered, self._answered = self._answered, Tally()
        durations, self._durations_s = self._durations_s, {}
        self._unsettled = 0
        for (route, status), count in answered.items():
            self._requests.labels(route, status).inc(count)
        for route, found in durations.items():
            _observe_all(self._latency.labels(route), LATENCY_BOUNDS_S, np.array(found))

    def observe_refusal(self, status: int) -> None:
        """A request, or what was to be one, that was refused with that status."""
        self._refused(REASONS.get(status, "other")).inc()

    def observe_access_failure(self, reason: str) -> None:
        """Somebody was not let in."""
        self._access_failures.labels(reason).inc()

    def observe_predictions(self, release: str, scores: np.ndarray, decisions: np.ndarray) -> None:
        """The predictions of one answer."""
        found: list[int] = decisions.tolist()
        for decision in set(found):
            self._decided(release, decision).inc(found.count(decision))
        _observe_all(self._scored(release), SCORE_BOUNDS, scores)

    def observe_load(self, manifest: Manifest | None, release: str = "") -> None:
        """A release serves from now on, or failed to load (None)."""
        self._loads.labels("failed" if manifest is None else "loaded").inc()
        if manifest is not None:
            self._release = (manifest.name, manifest.version, release)

    def show_challenger(self, challenger: Stated | None, state: Literal["serving", "returned", "absent"]) -> None:
        """Which challenger is stated, None for none, and what became of it."""
        self._challenger = (challenger.release, challenger.mode, state) if challenger is not None else None

    def observe_challenger(self, challenger: Stated, result: Literal["answered", "failed", "skipped"]) -> None:
        """One request that the challenger was meant for."""
        self._challenged.labels(challenger.release, challenger.mode, result).inc()

    def observe_return(self, cause: str) -> None:
        """A challenger was taken out of use."""
        self._returns.labels(cause).inc()

    def observe_logged(self, result: Literal["spooled", "stored", "dropped", "discarded"], rows: int) -> None:
        """Rows of the prediction log got so far, or were lost."""
        self._logged.labels(result).inc(rows)

    def watch_log_queue(self, rows: Callable[[], int]) -> None:
        """Ask `rows` for the length of the prediction log's queue whenever somebody reads the metrics."""
        self._log_queue = rows

    def state(self) -> dict[str, Any]:
        """What is true of this worker now, with all that it counted told."""
        self.settle()
        return {
            "pid": os.getpid(),
            "in_flight": self.in_flight,
            "log_queue": self._log_queue(),
            "release": self._release,
            "challenger": self._challenger,
        }

    def text(self, others: list[dict[str, Any]] | None = None) -> bytes:
        """The exposition in Prometheus' text format, with what the other workers say of themselves."""
        self._states = [self.state(), *(others or [])]
        return generate_latest(self._shown)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, label: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, [label], buckets=buckets, registry=self._registry)

    def _now(self) -> Iterator[Metric]:
        states = self._states or [self.state()]
        release = GaugeMetricFamily(
            "mlops_release_info", "The release that serves.", labels=["model", "version", "release"]
        )
        challenger = GaugeMetricFamily(
            "mlops_challenger_info",
            "The stated challenger: serving, returned because it crossed a limit, or absent because it did not load.",
            labels=["release", "mode", "state"],
        )
        for family, key in ((release, "release"), (challenger, "challenger")):
            for labels in {tuple(state[key]) for state in states if state[key]}:
                family.add_metric(labels, 1)
            yield family
        for name, text, key in (
            ("mlops_prediction_log_queue_rows", "Rows that wait to be spooled.", "log_queue"),
            ("mlops_requests_in_flight", "Requests that are being answered.", "in_flight"),
        ):
            yield GaugeMetricFamily(name, text, value=sum(state[key] for state in states))
        yield GaugeMetricFamily("mlops_workers", "Worker processes that answer.", value=len(states))

    def _processes(self) -> Iterator[Metric]:
        """Time, memory and files of all workers together, and the start of the first."""
        totals: dict[str, Metric] = {}
        for state in self._states or [self.state()]:
            for family in ProcessCollector(pid=lambda pid=state["pid"]: pid, registry=None).collect():
                if family.name not in totals:
                    totals[family.name] = family
                    continue
                total, sample = totals[family.name].samples[0], family.samples[0]
                both = (total.value, sample.value)
                value = min(both) if family.name == "process_start_time_seconds" else sum(both)
                totals[family.name].samples[0] = total._replace(value=value)
        yield from totals.values()


class _Now(Collector):
    """What is asked for when somebody reads the metrics."""

    def __init__(self, now: Callable[[], Iterator[Metric]]) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """The gauges as they are now."""
        return self._now()


def _observe_all(histogram: Histogram, bounds: np.ndarray, values: np.ndarray) -> None:
    """Observe many values at the price of a few: the library's own buckets, filled by their counts."""
    if len(values) == 1:
        histogram.observe(float(values[0]))
        return
    places = np.searchsorted(bounds, values, side="left")
    for place, count in enumerate(np.bincount(places).tolist()):
        if count:
            histogram._buckets[place].inc(count)  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue] # the library observes one at a time
    histogram._sum.inc(float(values.sum()))  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
