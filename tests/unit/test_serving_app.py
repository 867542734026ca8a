"""The server's routes, asked as an ASGI server would ask them, with no socket between."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.bundle.bundle import key_of
from ml.bundle.schema import BundleSchema
from ml.problem import Problem
from ml.serving.app import ModelServer, Settings
from ml.store import Store
from ml.trust.signing import signature_key
from tests.conftest import publish_signed

JSON = {"content-type": "application/json"}


@dataclass
class Answered:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: ModelServer,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    chunks: list[bytes] | None = None,
    query: bytes = b"",
) -> Answered:
    pending = chunks or [body]
    answered = Answered()

    async def receive() -> dict[str, Any]:
        if not pending:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": pending.pop(0), "more_body": bool(pending) or chunks is not None}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answered.status = message["status"]
            answered.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            answered.body += message["body"]

    raw = [(k.encode(), v.encode("latin-1")) for k, v in (headers or {}).items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": raw}
    await app(scope, receive, send)
    return answered


def settings_of(tmp_path: Path, store: Store, **changes: Any) -> Settings:
    folder = tmp_path / "serving"
    folder.mkdir(exist_ok=True)
    return Settings(folder / "deployment.json", store.uri, folder / "releases", **changes)


def state(settings: Settings, release: str) -> None:
    settings.deployment.write_text(json.dumps({"release": release}))


def play(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


@asynccontextmanager
async def serving(settings: Settings, release: str) -> AsyncIterator[ModelServer]:
    state(settings, release)
    app = ModelServer(settings)
    await app.host.reload()
    yield app


@pytest.fixture
def example(small_problem: Problem) -> dict[str, int]:
    return BundleSchema.of(small_problem).example


def test_an_answer_names_the_release_and_decides_at_the_threshold(
    tmp_path: Path, store: Store, published: str, example: dict[str, int], small_problem: Problem
) -> None:
    async def scenario() -> None:
        async with serving(settings_of(tmp_path, store), published) as app:
            body = json.dumps({"rows": [example] * 3}).encode()
            answered = await ask(app, "POST", "/predict", body, JSON | {"x-request-id": "mine-1"})
            assert answered.status == 200
            answer = answered.json
            assert (answer["release"], answer["model"], answer["version"]) == (published, small_problem.name, "1")
            assert answer["request_id"] == answered.headers["x-request-id"] == "mine-1"
            assert len(answer["predictions"]) == 3
            positive = small_problem.target.positive
            for prediction in answer["predictions"]:
                assert 0 <= prediction["score"] <= 1
                assert (prediction["decision"] == positive) == (prediction["score"] >= answer["threshold"])
            metrics = (await ask(app, "GET", "/metrics")).body.decode()
            assert (
                f'mlops_release_info{{model="{small_problem.name}",release="{published}",version="1"}} 1.0' in metrics
            )
            assert 'mlops_requests_total{route="/predict",status="200"} 1.0' in metrics
            assert (
                sum(float(x.split()[-1]) for x in metrics.splitlines() if x.startswith("mlops_predictions_total")) == 3
            )

    play(scenario())


@pytest.mark.parametrize("given", ["", "has space", "x" * 200, "a\nb", "<script>"])
def test_a_strange_request_id_is_replaced(tmp_path: Path, store: Store, given: str) -> None:
    async def scenario() -> None:
        answered = await ask(ModelServer(settings_of(tmp_path, store)), "GET", "/health", b"", {"x-request-id": given})
        assert answered.headers["x-request-id"] != given
        assert len(answered.headers["x-request-id"]) == 32

    play(scenario())


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "application/json"),
        ({"content-type": "text/plain"}, "text/plain"),
        ({"content-type": "application/json; charset=latin-1"}, "UTF-8"),
        ({"content-type": "application/jsonp"}, "application/json"),
        (JSON | {"content-encoding": "gzip"}, "compressed"),
    ],
)
def test_another_content_type_is_refused(
    tmp_path: Path, store: Store, headers: dict[str, str], said: str, example: dict[str, int]
) -> None:
    async def scenario() -> None:
        app = ModelServer(settings_of(tmp_path, store))
        answered = await ask(app, "POST", "/predict", json.dumps(example).encode(), headers)
        assert answered.status == 415
        assert said in answered.json["error"]

    play(scenario())


def test_a_huge_body_is_refused_before_it_is_read_whole(tmp_path: Path, store: Store) -> None:
    async def scenario() -> None:
        app = ModelServer(settings_of(tmp_path, store, maximum_body_bytes=1000))
        announced = await ask(app, "POST", "/predict", b"", JSON | {"content-length": "1001"})
        streamed = await ask(app, "POST", "/predict", headers=JSON, chunks=[b" " * 600] * 3)
        lying = await ask(app, "POST", "/predict", headers=JSON | {"content-length": "5"}, chunks=[b" " * 600] * 3)
        assert [a.status for a in (announced, streamed, lying)] == [413] * 3
        assert "1000 bytes" in announced.json["error"]

    play(scenario())


def test_a_body_that_never_ends_is_given_up(tmp_path: Path, store: Store) -> None:
    async def scenario() -> None:
        app = ModelServer(settings_of(tmp_path, store, body_timeout_s=0.05))
        assert (await ask(app, "POST", "/predict", headers=JSON, chunks=[b"{"])).status == 408

    play(scenario())


def test_before_a_release_serves_everything_else_answers(tmp_path: Path, store: Store, example: dict[str, int]) -> None:
    async def scenario() -> None:
        app = ModelServer(settings_of(tmp_path, store))
        assert (await ask(app, "GET", "/health")).status == 200
        ready = await ask(app, "GET", "/ready")
        assert (ready.status, ready.json["ready"], ready.json["release"]) == (503, False, None)
        assert (await ask(app, "POST", "/predict", json.dumps(example).encode(), JSON)).status == 503
        assert (await ask(app, "GET", "/openapi.json")).json["openapi"] == "3.1.0"
        assert (await ask(app, "GET", "/docs")).status == 200
        assert (await ask(app, "HEAD", "/health")).body == b""

    play(scenario())


def test_unknown_paths_and_methods_say_what_there_is(tmp_path: Path, store: Store) -> None:
    async def scenario() -> None:
        app = ModelServer(settings_of(tmp_path, store))
        nothing = await ask(app, "GET", "/../etc/passwd")
        assert nothing.status == 404
        assert "/predict" in nothing.json["error"]
        wrong = await ask(app, "GET", "/predict")
        assert (wrong.status, wrong.headers["allow"]) == (405, "POST")
        assert 'route="other",status="404"' in (await ask(app, "GET", "/metrics")).body.decode()

    play(scenario())


def test_the_docs_page_loads_nothing_from_elsewhere(tmp_path: Path, store: Store) -> None:
    async def scenario() -> None:
        page = await ask(ModelServer(settings_of(tmp_path, store)), "GET", "/docs")
        assert b"http://" not in page.body
        assert b"https://" not in page.body
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "unsafe-inline" not in page.headers["content-security-policy"]

    play(scenario())


def test_reloading_takes_the_token(tmp_path: Path, store: Store, published: str) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path, store)
        async with serving(settings, published) as app:
            token = settings.deployment.with_name("admin-token")
            assert token.stat().st_mode & 0o777 == 0o600
            assert ModelServer(settings)._token == token.read_text()
            for given in (
                {},
                {"authorization": "Bearer "},
                {"authorization": "Bearer ä"},
                {"authorization": token.read_text()},
            ):
                assert (await ask(app, "POST", "/admin/reload", b"", given)).status == 401
            answered = await ask(app, "POST", "/admin/reload", b"", {"authorization": f"Bearer {token.read_text()}"})
            assert (answered.status, answered.json["release"]) == (200, published)

    play(scenario())


async def reload(app: ModelServer, settings: Settings) -> Answered:
    token = settings.deployment.with_name("admin-token").read_text()
    return await ask(app, "POST", "/admin/reload", b"", {"authorization": f"Bearer {token}"})


def test_a_new_release_is_swapped_in_and_the_old_copy_removed(
    tmp_path: Path, store: Store, published: str, publish_version: Callable[[str], str]
) -> None:
    async def scenario() -> None:
        settings, second = settings_of(tmp_path, store), publish_version("2")
        async with serving(settings, published) as app:
            state(settings, second)
            answered = await reload(app, settings)
            assert (answered.status, answered.json["release"]) == (200, second)
            assert (await ask(app, "GET", "/ready")).json["version"] == "2"
            assert [p.name for p in settings.cache.iterdir()] == [second.removeprefix("sha256:")]

    play(scenario())


def spoil_bytes(store: Store, digest: str, _settings: Settings) -> str:
    key = f"{key_of(digest)}/model/model.pkl"
    store.write(key, store.read(key)[:-1] + b"!")
    return r"model/model.pkl was altered"


def spoil_presence(store: Store, digest: str, _settings: Settings) -> str:
    store.delete(key_of(digest))
    return "is not in the store"


def spoil_file(_store: Store, _digest: str, settings: Settings) -> str:
    settings.deployment.write_text("{not json")
    return "is not {"


def spoil_name(_store: Store, _digest: str, settings: Settings) -> str:
    state(settings, "latest")
    return "is not a release"


def spoil_statement(_store: Store, _digest: str, settings: Settings) -> str:
    settings.deployment.unlink()
    return "No release is deployed"


@pytest.mark.parametrize("spoil", [spoil_bytes, spoil_presence, spoil_file, spoil_name, spoil_statement])
def test_a_broken_new_release_leaves_the_old_one_serving(
    tmp_path: Path,
    store: Store,
    published: str,
    publish_version: Callable[[str], str],
    example: dict[str, int],
    spoil: Callable[[Store, str, Settings], str],
) -> None:
    async def scenario() -> None:
        settings, second = settings_of(tmp_path, store), publish_version("2")
        async with serving(settings, published) as app:
            state(settings, second)
            said = spoil(store, second, settings)
            answered = await reload(app, settings)
            assert answered.status == 409
            assert said in answered.json["error"]
            ready = await ask(app, "GET", "/ready")
            assert (ready.status, ready.json["release"]) == (200, published)
            assert said in ready.json["error"]
            answer = await ask(app, "POST", "/predict", json.dumps(example).encode(), JSON)
            assert (answer.status, answer.json["release"]) == (200, published)
            state(settings, published)
            assert (await reload(app, settings)).status == 200
            assert (await ask(app, "GET", "/ready")).json["error"] is None

    play(scenario())


def test_a_release_that_can_not_answer_its_own_example_is_refused(
    tmp_path: Path, store: Store, published: str, candidate: Path, small_problem: Problem, built: Path
) -> None:
    from ml.bundle.bundle import MANIFEST_FILE, bundle_digest, canonical, file_digests
    from ml.bundle.manifest import Manifest

    for number, (model, said) in enumerate(
        ((b"no pickle", "can't answer its own example"), (b"cos\nsystem\n.", "can't answer its own example"))
    ):
        folder = Path(shutil.copytree(built, tmp_path / f"broken-{number}"))
        (folder / "model" / "model.pkl").write_bytes(model)
        (folder / "scorer.json").unlink()  # a bundle from before models were compiled
        (folder / "scorer.npz").unlink()
        files = file_digests(folder)
        update = {"files": files, "bundle_digest": bundle_digest(files)}
        manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes()).model_copy(update=update)
        (folder / MANIFEST_FILE).write_bytes(canonical(manifest))
        broken = publish_signed(store, folder)

        async def scenario(broken: str = broken, said: str = said) -> None:
            settings = settings_of(tmp_path, store)
            async with serving(settings, published) as app:
                state(settings, broken)
                answered = await reload(app, settings)
                assert (answered.status, app.host.current and app.host.current.release) == (409, published)
                assert said in answered.json["error"]

        play(scenario())


def test_a_release_that_nobody_signed_is_never_loaded(
    tmp_path: Path, store: Store, published: str, publish_version: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    second = publish_version("2")
    store.delete(signature_key(second))

    async def scenario() -> None:
        settings = settings_of(tmp_path, store)
        async with serving(settings, published) as app:
            monkeypatch.setattr("ml.serving.hosting.host.ServedModel.load", lambda *_: pytest.fail("it was unpickled"))
            state(settings, second)
            answered = await reload(app, settings)
            assert answered.status == 409
            assert "is not signed" in answered.json["error"]

    play(scenario())


def test_a_model_whose_score_is_no_probability_is_a_server_error(
    tmp_path: Path, store: Store, published: str, example: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with serving(settings_of(tmp_path, store), published) as app:
            assert app.host.current is not None
            for score in (np.nan, 1.5, -0.1):
                scorer = type("Broken", (), {"score": lambda _self, matrix, s=score: np.full(len(matrix), s)})()
                monkeypatch.setattr(app.host.current, "_scorer", scorer)
                answered = await ask(app, "POST", "/predict", json.dumps(example).encode(), JSON)
                assert answered.status == 500
                assert answered.json["request_id"] in answered.headers["x-request-id"]
                assert "Traceback" not in answered.body.decode()

    play(scenario())
