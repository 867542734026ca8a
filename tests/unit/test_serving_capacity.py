"""A server that is asked more than it can do says so at once, and goes on doing what it can."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from ml.bundle.schema import BundleSchema
from ml.problem import Problem
from ml.serving.app import ModelServer
from ml.serving.telemetry.metrics import SCORE_BUCKETS, ServerMetrics
from ml.store import Store
from tests.unit.test_serving_app import JSON, Answered, ask, play, serving, settings_of


@pytest.fixture
def body(small_problem: Problem) -> bytes:
    return json.dumps(BundleSchema.of(small_problem).example).encode()


class Held:
    """A model that answers when it is told to."""

    def __init__(self, app: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
        assert app.host.current is not None
        self.release = threading.Event()
        self.asked = threading.Semaphore(0)
        inner = app.host.current._scorer
        held = type("Held", (), {"score": lambda _self, matrix: self._score(inner, matrix)})()
        monkeypatch.setattr(app.host.current, "_scorer", held)

    def _score(self, inner: Any, matrix: np.ndarray) -> np.ndarray:
        self.asked.release()
        assert self.release.wait(30)
        return inner.score(matrix)


async def metric(app: ModelServer, name: str) -> float:
    text = (await ask(app, "GET", "/metrics")).body.decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))


def test_past_its_queue_it_says_so_and_still_answers_health_and_metrics(
    tmp_path: Path, store: Store, published: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store, scoring_threads=1, maximum_waiting=3)
        async with serving(settings, published) as app:
            held = Held(app, monkeypatch)
            taken = [asyncio.ensure_future(ask(app, "POST", "/predict", body, JSON)) for _ in range(3)]
            await asyncio.to_thread(held.asked.acquire)
            refused = await asyncio.wait_for(ask(app, "POST", "/predict", body, JSON), 5)
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert "Try again" in refused.json["error"]
            assert (await ask(app, "GET", "/health")).status == 200
            assert await metric(app, "mlops_requests_in_flight") == 4  # the one that asks too
            assert await metric(app, 'mlops_refusals_total{reason="overloaded"}') == 1
            held.release.set()
            assert [(await answered).status for answered in taken] == [200] * 3
            assert (await ask(app, "POST", "/predict", body, JSON)).status == 200
            assert await metric(app, "mlops_requests_in_flight") == 1

    play(scenario())


def test_what_waits_too_long_is_given_up_and_what_is_worked_on_too_long_is_unavailable(
    tmp_path: Path, store: Store, published: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store, scoring_threads=1, answer_timeout_s=0.2)
        async with serving(settings, published) as app:
            held = Held(app, monkeypatch)
            both = [ask(app, "POST", "/predict", body, JSON) for _ in range(2)]
            assert [answered.status for answered in await asyncio.gather(*both)] == [503, 429]
            held.release.set()
            assert (await ask(app, "POST", "/predict", body, JSON)).status == 200
            assert held.asked.acquire(timeout=5)  # the first
            assert held.asked.acquire(timeout=5)  # the last: what was given up was never scored
            assert not held.asked.acquire(blocking=False)

    play(scenario())


def test_bodies_are_held_up_to_a_limit_and_let_go(tmp_path: Path, store: Store, published: str, body: bytes) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store, maximum_body_bytes=1000, maximum_held_bytes=1500, body_timeout_s=0.3)
        async with serving(settings, published) as app:
            slow = asyncio.ensure_future(ask(app, "POST", "/predict", headers=JSON, chunks=[b" " * 900]))
            while app._bodies._held_bytes != 900:
                await asyncio.sleep(0.01)
            announced = JSON | {"content-length": "700"}
            assert (await ask(app, "POST", "/predict", b" " * 700, announced)).status == 429
            assert (await ask(app, "POST", "/predict", b" " * 700, JSON)).status == 429
            assert (await ask(app, "POST", "/predict", body, JSON)).status == 200
            assert (await slow).status == 408
            assert app._bodies._held_bytes == 0
            assert (await ask(app, "POST", "/predict", b" " * 700 + body, JSON)).status == 200

    play(scenario())


def test_what_is_not_finished_when_the_server_ends_is_told_to_ask_again(
    tmp_path: Path, store: Store, published: str
) -> None:
    async def scenario() -> None:
        async with serving(settings_of(tmp_path, store), published) as app:
            slow: asyncio.Task[Answered] = asyncio.ensure_future(
                ask(app, "POST", "/predict", headers=JSON, chunks=[b"{"])
            )
            while app._bodies._held_bytes != 1:
                await asyncio.sleep(0.01)
            slow.cancel()
            answered = await slow
            assert (answered.status, answered.headers["retry-after"]) == (503, "1")

    play(scenario())


@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from(SCORE_BUCKETS)), min_size=1, max_size=50))
def test_many_scores_are_observed_as_one_by_one(scores: list[float]) -> None:
    metrics, registry = ServerMetrics(), CollectorRegistry()
    metrics.observe_predictions("r", np.array(scores), np.zeros(len(scores), dtype=int))
    one_by_one = Histogram("mlops_score", "Scores by release.", ["release"], buckets=SCORE_BUCKETS, registry=registry)
    for score in scores:
        one_by_one.labels("r").observe(score)

    def lines(text: bytes) -> dict[str, float]:
        found = [line.rsplit(" ", 1) for line in text.decode().splitlines() if line.startswith("mlops_score_")]
        return {name: float(value) for name, value in found if "created" not in name}

    assert lines(metrics.text()) == pytest.approx(lines(generate_latest(registry)))
