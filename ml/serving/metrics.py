"""What a model server tells Prometheus."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from ml.release.manifest import Manifest
from ml.serving.deployment import Stated

__all__ = ["PREDICTIONS", "ServerMetrics"]

PREDICTIONS = "mlops_predictions"
LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ServerMetrics:
    """The counters of one server; each server has a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter(
            "mlops_requests", "Requests by route and status.", ["route", "status"], registry=self._registry
        )
        self._latency = Histogram(
            "mlops_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ["route"],
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self._predictions = Counter(
            PREDICTIONS, "Predictions by release and decision.", ["release", "decision"], registry=self._registry
        )
        self._scores = Histogram(
            "mlops_score",
            "Scores by release.",
            ["release"],
            buckets=[n / 10 for n in range(1, 11)],
            registry=self._registry,
        )
        self._release = Gauge(
            "mlops_release_info", "The release that serves.", ["model", "version", "release"], registry=self._registry
        )
        self._logged = Counter(
            "mlops_prediction_log_rows",
            "Rows of the prediction log, by what became of them: spooled, stored, or dropped.",
            ["result"],
            registry=self._registry,
        )
        self._log_queue = Gauge(
            "mlops_prediction_log_queue_rows", "Rows that wait to be spooled.", registry=self._registry
        )
        self._challenger = Gauge(
            "mlops_challenger_info",
            "The stated challenger: serving, returned because it crossed a limit, or absent because it did not load.",
            ["release", "mode", "state"],
            registry=self._registry,
        )
        self._challenged = Counter(
            "mlops_challenger_requests",
            "Requests for the challenger: answered, failed, or skipped because its shadow was behind.",
            ["release", "mode", "result"],
            registry=self._registry,
        )
        self._returns = Counter(
            "mlops_challenger_returns",
            "Challengers taken out of use, by the limit they crossed.",
            ["cause"],
            registry=self._registry,
        )
        self._loads = Counter("mlops_release_loads", "Releases loaded, by result.", ["result"], registry=self._registry)

    def observe_request(self, route: str, status: int, duration_s: float) -> None:
        """One answered request."""
        self._requests.labels(route, status).inc()
        self._latency.labels(route).observe(duration_s)

    def observe_predictions(self, release: str, scores: np.ndarray, decisions: np.ndarray) -> None:
        """The predictions of one answer."""
        for decision, count in zip(*np.unique(decisions, return_counts=True), strict=True):
            self._predictions.labels(release, int(decision)).inc(int(count))
        histogram = self._scores.labels(release)
        for score in scores.tolist():
            histogram.observe(score)

    def observe_load(self, manifest: Manifest | None, release: str = "") -> None:
        """A release serves from now on, or failed to load (None)."""
        self._loads.labels("failed" if manifest is None else "loaded").inc()
        if manifest is not None:
            self._release.clear()
            self._release.labels(manifest.name, manifest.version, release).set(1)

    def show_challenger(self, challenger: Stated | None, state: Literal["serving", "returned", "absent"]) -> None:
        """Which challenger is stated, None for none, and what became of it."""
        self._challenger.clear()
        if challenger is not None:
            self._challenger.labels(challenger.release, challenger.mode, state).set(1)

    def observe_challenger(self, challenger: Stated, result: Literal["answered", "failed", "skipped"]) -> None:
        """One request that the challenger was meant for."""
        self._challenged.labels(challenger.release, challenger.mode, result).inc()

    def observe_return(self, cause: str) -> None:
        """A challenger was taken out of use."""
        self._returns.labels(cause).inc()

    def observe_logged(self, result: Literal["spooled", "stored", "dropped"], rows: int) -> None:
        """Rows of the prediction log got so far, or were lost."""
        self._logged.labels(result).inc(rows)

    def watch_log_queue(self, rows: Callable[[], int]) -> None:
        """Ask `rows` for the length of the prediction log's queue whenever somebody reads the metrics."""
        self._log_queue.set_function(rows)

    def text(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self._registry)
