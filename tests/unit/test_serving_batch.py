"""Requests that are answered without a task, many at once: the same answers, logged and counted as any other."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ml.bundle.schema import BundleSchema
from ml.http.answers import Response
from ml.http.front import SPARE
from ml.model.model import ServedModel
from ml.serving.app import ModelServer
from ml.serving.hosting.batch import ALONE, AT_LEAST, LOOKS
from ml.store import Store
from tests.unit.test_serving_app import JSON, ask, play, settings_of, state


def scope_of(path: str = "/predict", method: str = "POST", **headers: str) -> dict[str, Any]:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "query_string": b"", "headers": raw}


async def ask_at_once(app: ModelServer, bodies: dict[str, bytes], **headers: str) -> dict[str, Response]:
    """What requests are answered that come in one round of the loop, by their ids."""
    answers: dict[str, Response] = {}
    given = {"content_type": "application/json"} | headers
    for name, body in bodies.items():
        scope = scope_of(**given, x_request_id=name)
        assert app.quick(scope, body, lambda response, request_id: answers.update({request_id: response}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return answers


def test_each_of_many_gets_what_it_would_get_alone(
    tmp_path: Path, store: Store, small_problem: Any, published: str
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store)
        state(settings, published)
        app = ModelServer(settings)
        await app.host.reload()
        example = BundleSchema.of(small_problem).example
        name = next(iter(example))
        rows = [example, example | {name: example[name] + 1}, example | {name: example[name] - 1}]
        bodies = {
            "one": json.dumps(rows[0]).encode(),
            "two": json.dumps({"rows": rows[1:], "subjects": ["Ada", None]}).encode(),
            "wrong": json.dumps(example | {name: -1}).encode(),
            "empty": b"",
            "whole-float": json.dumps(example | {name: float(example[name])}).encode(),
            "broken": b"{",
            "last": json.dumps(rows).encode(),
        }
        found = await ask_at_once(app, bodies)
        logged = [one.prediction_ids for one in app._log._queue]
        assert logged == [["one", "two-0", "two-1", "whole-float", "last-0", "last-1", "last-2"]]
        (one,) = app._log._queue
        assert one.subjects == [None, "Ada", None, None, None, None, None]
        assert len(found) == len(bodies)
        for request_id, body in bodies.items():
            alone = await ask(app, "POST", "/predict", body, JSON | {"x-request-id": request_id})
            assert (found[request_id].status, json.loads(found[request_id].body)) == (alone.status, alone.json)
        metrics = (await ask(app, "GET", "/metrics")).body.decode()
        assert 'mlops_requests_total{route="/predict",status="200"} 8.0' in metrics
        assert 'mlops_refusals_total{reason="unfitting"} 2.0' in metrics
        assert 'mlops_request_duration_seconds_count{route="/predict"} 14.0' in metrics

    play(scenario())


def test_a_model_that_fails_on_one_answers_the_others(
    tmp_path: Path, store: Store, small_problem: Any, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store)
        state(settings, published)
        app = ModelServer(settings)
        await app.host.reload()
        example = BundleSchema.of(small_problem).example
        name, score = next(iter(example)), ServedModel.score

        def fails(self: ServedModel, rows: Any) -> Any:
            if (rows.matrix[:, 0] != example[name]).any():
                raise ValueError("bad luck")
            return score(self, rows)

        monkeypatch.setattr(ServedModel, "score", fails)
        bodies = {"good": example, "bad": example | {name: example[name] + 1}, "better": example}
        found = await ask_at_once(app, {key: json.dumps(row).encode() for key, row in bodies.items()})
        assert {key: answer.status for key, answer in found.items()} == {"good": 200, "bad": 500, "better": 200}
        assert sorted(name for one in app._log._queue for name in one.prediction_ids) == ["better", "good"]

    play(scenario())


def test_who_always_comes_alone_waits_for_nobody_until_others_come(
    tmp_path: Path, store: Store, small_problem: Any, published: str
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store)
        state(settings, published)
        app = ModelServer(settings)
        await app.host.reload()
        body = json.dumps(BundleSchema.of(small_problem).example).encode()

        async def is_answered_at_once() -> bool:
            answers: list[Response] = []
            headers = {"content_type": "application/json"}
            assert app.quick(scope_of(**headers), body, lambda response, _: answers.append(response))
            at_once = bool(answers)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert [answer.status for answer in answers] == [200]
            return at_once

        at_once = [await is_answered_at_once() for _ in range(4 * LOOKS)]
        assert not any(at_once[:ALONE])
        assert at_once[ALONE:].count(False) == 3  # which look for others
        while await is_answered_at_once():
            pass
        bodies = dict.fromkeys(map(str, range(LOOKS + 3)), body)
        logged = len(app._log._queue)
        assert {answer.status for answer in (await ask_at_once(app, bodies)).values()} == {200}
        assert len(app._log._queue) - logged == LOOKS  # all but one alone, then the others as one
        assert not await is_answered_at_once()

    play(scenario())


def test_past_what_a_round_can_read_it_says_so_at_once(
    tmp_path: Path, store: Store, small_problem: Any, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store)
        state(settings, published)
        app = ModelServer(settings)
        await app.host.reload()
        body = json.dumps(BundleSchema.of(small_problem).example).encode()
        monkeypatch.setattr("ml.serving.hosting.batch.ROUND_S", -1.0)
        found = await ask_at_once(app, {str(number): body for number in range(AT_LEAST + 2)})
        assert [answer.status for answer in found.values()].count(200) == AT_LEAST
        late = found[str(AT_LEAST)]
        assert (late.status, late.headers["Retry-After"]) == (429, "1")
        assert {key: it.status for key, it in (await ask_at_once(app, {"next": body})).items()} == {"next": 200}

    play(scenario())


def test_health_is_said_where_it_is_asked_and_by_spare_connections(tmp_path: Path, store: Store) -> None:
    async def scenario() -> None:
        app = ModelServer(settings_of(tmp_path, store))
        answers: list[Response] = []
        scope = scope_of("/health", "GET") | {"state": {SPARE: True}}
        assert app.quick(scope, b"", lambda response, _: answers.append(response))
        there = await ask(app, "GET", "/health")
        assert [(answer.status, answer.body) for answer in answers] == [(200, there.body)]
        metrics = (await ask(app, "GET", "/metrics")).body.decode()
        assert 'mlops_requests_total{route="/health",status="200"} 2.0' in metrics
        assert not app.quick(scope_of("/health", "DELETE"), b"", lambda *_: None)

    play(scenario())


def test_what_needs_more_is_left_to_the_long_way(tmp_path: Path, store: Store, published: str) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store, maximum_body_bytes=1000)
        app = ModelServer(settings)

        def takes(scope: dict[str, Any], body: bytes = b"{}") -> bool:
            return app.quick(scope, body, lambda *_: None)

        usual = {"content_type": "application/json"}
        assert not takes(scope_of(**usual))  # no release serves yet
        state(settings, published)
        await app.host.reload()
        assert takes(scope_of(**usual))
        assert not takes(scope_of(**usual), b" " * 1001)
        assert not takes(scope_of(**usual, method="PUT"))
        assert not takes(scope_of("/invocations", **usual))
        assert not takes(scope_of("/nowhere", **usual))
        assert not takes(scope_of(**usual) | {"query_string": b"explain=true"}, b"[]")

    play(scenario())
