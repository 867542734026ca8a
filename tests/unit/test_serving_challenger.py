"""A challenger beside the champion: who answers, who is only asked, and how it is taken back for good."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.bundle.bundle import key_of
from ml.bundle.schema import BundleSchema
from ml.problem import Problem
from ml.serving.app import ModelServer, Settings
from ml.serving.hosting.predict import is_for_challenger
from ml.store import Store
from tests.unit.test_serving_app import JSON, ask, play, reload

pytestmark = pytest.mark.slow

LIMITS = {
    "minimum": 20,
    "window": 100,
    "maximum_error_rate": 0.1,
    "latency": {"quantile": 0.9, "maximum_ms": 10_000.0, "maximum_ratio": 100.0},
    "maximum_score_psi": 100.0,
}


class Broken:
    def score(self, matrix: np.ndarray) -> np.ndarray:
        raise RuntimeError("broken")


class Constant:
    def score(self, matrix: np.ndarray) -> np.ndarray:
        return np.full(len(matrix), 0.999)


@pytest.fixture
def second(publish_version: Callable[[str], str]) -> str:
    return publish_version("2")


@pytest.fixture
def body(small_problem: Problem) -> bytes:
    return json.dumps(BundleSchema.of(small_problem).example).encode()


def settings_of(tmp_path: Path, store: Store, problem: Problem, **limits: Any) -> Settings:
    folder = tmp_path / "serving"
    folder.mkdir(exist_ok=True)
    changed = Problem.model_validate(problem.model_dump() | {"canary": LIMITS | limits})
    return Settings(folder / "deployment.json", store.uri, folder / "releases", problem=changed)


def state(settings: Settings, pinned: str, /, **challenger: Any) -> None:
    settings.deployment.write_text(json.dumps({"release": pinned} | ({"challenger": challenger} if challenger else {})))


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[ModelServer]:
    app = ModelServer(settings)
    await app.host.load_first()
    try:
        yield app
    finally:
        app._close()


def spoil(app: ModelServer, scorer: object) -> None:
    found = app.host.serving
    assert found is not None
    assert found.challenger is not None
    found.challenger.model._scorer = scorer  # type: ignore[assignment]


async def predict(app: ModelServer, body: bytes, name: str) -> dict[str, Any]:
    answered = await ask(app, "POST", "/predict", body, JSON | {"x-request-id": name})
    assert answered.status == 200
    return answered.json


async def challenger_state(app: ModelServer) -> dict[str, Any]:
    return (await ask(app, "GET", "/ready")).json["challenger"]


def queued(app: ModelServer) -> list[tuple[str, str, str]]:
    return [(one.prediction_ids[0], one.role, one.release) for one in app._log._queue]


def test_a_canary_answers_its_share_and_the_answer_names_who_answered(
    tmp_path: Path, store: Store, small_problem: Problem, published: str, second: str, body: bytes
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store, small_problem)
        state(settings, published, release=second, mode="canary", weight=0.3)
        async with serving(settings) as app:
            names = [f"request-{number}" for number in range(60)]
            answered = {name: (await predict(app, body, name))["release"] for name in names}
            chosen = {name: second if is_for_challenger(name, 0.3) else published for name in names}
            assert answered == chosen
            assert 0 < list(answered.values()).count(second) < 60
            roles = {published: "champion", second: "challenger"}
            assert queued(app) == [(name, roles[release], release) for name, release in chosen.items()]
            assert {"state": "serving", "judged": False}.items() <= (await challenger_state(app)).items()
            metrics = (await ask(app, "GET", "/metrics")).body.decode()
            assert f'mlops_challenger_info{{mode="canary",release="{second}",state="serving"}} 1.0' in metrics

    play(scenario())


def test_a_shadow_never_answers_and_is_logged_as_one(
    tmp_path: Path, store: Store, small_problem: Problem, published: str, second: str, body: bytes
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store, small_problem)
        state(settings, published, release=second, mode="shadow", weight=1.0)
        async with serving(settings) as app:
            for number in range(5):
                assert (await predict(app, body, f"r{number}"))["release"] == published
            app._predictor.close()
            logged = queued(app)
            assert {one for one in logged if one[1] == "shadow"} == {(f"r{n}", "shadow", second) for n in range(5)}
            assert len([one for one in logged if one[1] == "champion"]) == 5
            metrics = (await ask(app, "GET", "/metrics")).body.decode()
            assert f'mlops_predictions_total{{decision="0",release="{second}"' not in metrics
            assert f'mlops_predictions_total{{decision="1",release="{second}"' not in metrics

    play(scenario())


def test_a_canary_that_breaks_costs_no_answer_and_is_taken_back_for_good(
    tmp_path: Path, store: Store, small_problem: Problem, published: str, second: str, body: bytes
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store, small_problem)
        state(settings, published, release=second, mode="canary", weight=1.0)
        async with serving(settings) as app:
            spoil(app, Broken())
            for number in range(5):
                assert (await predict(app, body, f"r{number}"))["release"] == published
            gone = await challenger_state(app)
            assert (gone["state"], gone["cause"]) == ("returned", "errors")
            assert "3 of its newest 3 requests" in gone["reason"]
            metrics = (await ask(app, "GET", "/metrics")).body.decode()
            assert 'mlops_challenger_returns_total{cause="errors"} 1.0' in metrics
            assert 'result="failed"} 3.0' in metrics
            assert (await reload(app, settings)).json["challenger"]["state"] == "returned"
        async with serving(settings) as again:
            assert (await challenger_state(again))["state"] == "returned"
            assert (await predict(again, body, "after"))["release"] == published
            state(settings, published, release=second, mode="canary", weight=0.5)
            assert (await reload(again, settings)).json["challenger"]["state"] == "serving"
            state(settings, published, release=second, mode="canary", weight=1.0)
            assert (await reload(again, settings)).json["challenger"]["state"] == "serving"

    play(scenario())


def test_a_shadow_whose_scores_moved_is_taken_back(
    tmp_path: Path, store: Store, small_problem: Problem, published: str, second: str, body: bytes
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store, small_problem, maximum_score_psi=0.25)
        state(settings, published, release=second, mode="shadow", weight=1.0)
        async with serving(settings) as app:
            spoil(app, Constant())
            for number in range(20):
                assert (await predict(app, body, f"r{number}"))["release"] == published
            app._predictor.close()
            gone = await challenger_state(app)
            assert (gone["state"], gone["cause"]) == ("returned", "scores")

    play(scenario())


def test_a_request_that_is_wrong_is_the_callers_mistake_not_the_challengers(
    tmp_path: Path, store: Store, small_problem: Problem, published: str, second: str
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store, small_problem)
        state(settings, published, release=second, mode="canary", weight=1.0)
        async with serving(settings) as app:
            for _ in range(30):
                assert (await ask(app, "POST", "/predict", b"{}", JSON)).status == 422
            assert (await challenger_state(app))["state"] == "serving"

    play(scenario())


@pytest.mark.parametrize("wrong", [{"weight": 0}, {"weight": 1.5}, {"mode": "magic"}, {"colour": "blue"}])
def test_a_challenger_that_makes_no_sense_changes_nothing(
    tmp_path: Path, store: Store, small_problem: Problem, published: str, second: str, wrong: dict[str, Any]
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store, small_problem)
        state(settings, published)
        async with serving(settings) as app:
            before = app.host.serving
            state(settings, second, **{"release": published, "mode": "canary", "weight": 0.5} | wrong)
            assert (await reload(app, settings)).status == 409
            state(settings, second, release=second, mode="canary", weight=0.5)
            assert "champion itself" in (await reload(app, settings)).json["error"]
            assert app.host.serving is before

    play(scenario())


def test_a_challenger_that_cant_load_refuses_a_reload_but_no_start(
    tmp_path: Path, store: Store, small_problem: Problem, published: str, second: str, body: bytes
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store, small_problem)
        store.delete(key_of(second))
        state(settings, published, release=second, mode="canary", weight=0.5)
        async with serving(settings) as app:
            assert (await predict(app, body, "one"))["release"] == published
            assert (await challenger_state(app))["state"] == "absent"
            assert second in (await ask(app, "GET", "/ready")).json["error"]
            refused = await reload(app, settings)
            assert refused.status == 409
            assert "not in the store" in refused.json["error"]

    play(scenario())


def test_a_challenger_becomes_champion_without_being_loaded_again(
    tmp_path: Path, store: Store, small_problem: Problem, published: str, second: str
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store, small_problem)
        state(settings, published, release=second, mode="canary", weight=0.5)
        async with serving(settings) as app:
            found = app.host.serving
            assert found is not None
            assert found.challenger is not None
            state(settings, second)
            await reload(app, settings)
            assert app.host.current is found.challenger.model
            assert await challenger_state(app) is None
            assert {folder.name for folder in settings.cache.iterdir()} == {second.removeprefix("sha256:")}

    play(scenario())


def test_taking_back_an_old_challenger_leaves_the_new_one_alone(
    tmp_path: Path, store: Store, small_problem: Problem, published: str, second: str
) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store, small_problem)
        state(settings, published, release=second, mode="canary", weight=0.5)
        async with serving(settings) as app:
            old = app.host.serving
            assert old is not None
            assert old.challenger is not None
            state(settings, published, release=second, mode="shadow", weight=0.5)
            await reload(app, settings)
            for _ in range(3):
                old.challenger.watch.failed()
            assert old.challenger.watch.breach is not None
            await asyncio.to_thread(app.host.take_back, old.challenger, old.challenger.watch.breach)
            assert (await challenger_state(app))["state"] == "serving"
            assert not settings.deployment.with_name("challenger-returned.json").exists()

    play(scenario())


def test_a_canary_answers_every_protocol_but_not_who_names_the_champions_version(
    tmp_path: Path, store: Store, small_problem: Problem, published: str, second: str, body: bytes
) -> None:
    settings = settings_of(tmp_path, store, small_problem)
    state(settings, published, release=second, mode="canary", weight=1.0)
    row = json.loads(body)
    inputs = [{"name": name, "shape": [1], "datatype": "INT64", "data": [value]} for name, value in row.items()]
    model = f"/v2/models/{small_problem.name}"

    async def scenario() -> None:
        async with serving(settings) as app:

            async def ask_v2(path: str) -> tuple[str, float]:
                answered = await ask(app, "POST", path, json.dumps({"inputs": inputs}).encode(), JSON)
                assert answered.status == 200
                return answered.json["model_version"], answered.json["outputs"][0]["data"][0]

            by_canary = await ask_v2(f"{model}/infer")
            assert by_canary[0] == "2"
            assert (await predict(app, body, "any"))["predictions"][0]["score"] == by_canary[1]
            answered = await ask(app, "POST", "/invocations", json.dumps({"instances": [row]}).encode(), JSON)
            assert answered.json["predictions"][0][1] == by_canary[1]
            by_champion = await ask_v2(f"{model}/versions/1/infer")
            assert by_champion[0] == "1"
            assert by_champion[1] != by_canary[1]

    play(scenario())
