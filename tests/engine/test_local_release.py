"""Releases on the local cloud under the real engine: refused at preview, swapped under load, and taken back."""

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ml.bundle.bundle import key_of, publish
from ml.bundle.manifest import ScorerEvidence
from ml.bundle.schema import BundleSchema
from ml.model.compiled import COMPILED_FILE
from ml.model.scorer import SCORER_FILE
from ml.predictions import read_log
from ml.problem import Problem
from ml.release.build import Origin, assemble, seal
from ml.release.register import register, sign_manifest
from ml.release.stage import Stage
from ml.runtime import Runtime
from ml.trust.witness import forget
from pipelines._sandbox import Sandbox
from tests.conftest import write_candidate
from tests.engine.test_local_environment import eventually
from tests.stages import passing_gates

STACK = "local-dev"


class Releases:
    """Makes releases of a small model in the stack's own store."""

    def __init__(self, project: Sandbox, folder: Path, problem: Problem) -> None:
        self._project = project
        self._folder = folder
        self._problem = problem

    @property
    def stage(self) -> Stage:
        """The environment, opened anew: `pulumi up` makes a key and writes to the ledger meanwhile."""
        runtime = Runtime(
            stack=STACK,
            cloud="local",
            platform="process",
            environment="dev",
            store_uri=(self._project.root(STACK) / "store").as_uri(),
            tracking_uri="",
            monitor_url="",
        )
        return Stage.of(runtime, self._project.stack_file(STACK), self._project.folder)

    def make(self, version: str, model: bytes | None = None) -> str:
        """A signed release that passed its gates; its digest. `model` takes the place of the model that passed them."""
        candidate, folder = self._folder / f"candidate-{version}", self._folder / f"bundle-{version}"
        write_candidate(candidate, self._problem, seed=int(version))
        assemble(candidate, folder, self._problem)
        if model is not None:
            (folder / "model" / "model.pkl").write_bytes(model)
            (folder / COMPILED_FILE).unlink(missing_ok=True)  # not the tables of the model that it replaces
            evidence = ScorerEvidence(kind="exact", reason="the model was replaced")
            (folder / SCORER_FILE).write_text(evidence.model_dump_json())
        made = datetime(2026, 1, 2, tzinfo=UTC)
        origin = Origin(
            version=version,
            created_at=made,
            created_by="author@example.org",
            gates=passing_gates(candidate, self._problem),
        )
        manifest = seal(folder, self._problem, origin)
        stage = self.stage
        me = stage.signer()
        sign_manifest(stage.store, stage.ledger, manifest, me)
        digest = publish(stage.store, folder)
        register(stage.ledger, manifest, me)
        return digest


class Load:
    """Asks the endpoint for predictions, all the time, and keeps what it answers."""

    def __init__(self, url: str, body: bytes) -> None:
        self.answered: list[tuple[int, str]] = []
        self.failed: list[BaseException] = []
        self._address = url.removeprefix("http://")
        self._body = body
        self._stop = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator["Load"]:
        threads = [threading.Thread(target=self._ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            self.wait_for_more()
            yield self
            self.wait_for_more()
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(timeout=60)

    def wait_for_more(self) -> None:
        before = len(self.answered)
        assert eventually(lambda: self.failed or len(self.answered) >= before + 20)

    def _ask(self) -> None:
        try:
            with contextlib.closing(http.client.HTTPConnection(self._address, timeout=60)) as connection:
                while not self._stop.is_set():
                    status, answer = predict(connection, self._body)
                    self.answered.append((status, answer.get("release", "")))
        except Exception as error:
            self.failed.append(error)


def predict(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, dict[str, Any]]:
    connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@pytest.fixture(scope="module")
def body(small_problem: Problem) -> bytes:
    return json.dumps(BundleSchema.of(small_problem).example).encode()


@pytest.fixture(scope="module")
def environment(project: Sandbox) -> Sandbox:
    """An environment without a release."""
    project.add_stack(STACK)
    project.up(STACK)
    return project


@pytest.fixture(scope="module")
def releases(
    environment: Sandbox, tmp_path_factory: pytest.TempPathFactory, small_problem: Problem
) -> Iterator[Releases]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", environment.environment["XDG_CONFIG_HOME"])  # who signs, and is trusted there
        yield Releases(environment, tmp_path_factory.mktemp("releases"), small_problem)


@pytest.fixture(scope="module")
def first(environment: Sandbox, releases: Releases) -> str:
    """The digest of the release that serves at first."""
    digest = releases.make("1")
    environment.configure(STACK, {"mlops:release": digest})
    environment.up(STACK)
    return digest


@pytest.fixture
def load(environment: Sandbox, first: str, body: bytes) -> Load:
    return Load(environment.outputs(STACK)["endpoint_url"], body)


def test_a_release_serves_once_it_is_pinned(environment: Sandbox, first: str, load: Load) -> None:
    assert environment.outputs(STACK)["release"] == first
    with load.running():
        pass
    assert not load.failed
    assert set(load.answered) == {(200, first)}


def test_a_new_release_is_swapped_in_without_one_failed_request(
    environment: Sandbox, releases: Releases, first: str, load: Load
) -> None:
    second = releases.make("2")
    environment.configure(STACK, {"mlops:release": second})
    with load.running():
        output = environment.up(STACK)
        load.wait_for_more()
        swapped = len(load.answered)
    assert "1 updated" in output or "2 updated" in output
    assert not load.failed
    assert set(load.answered) == {(200, first), (200, second)}
    assert {release for _, release in load.answered[swapped:]} == {second}
    assert environment.outputs(STACK)["release"] == second


def test_a_release_that_cannot_load_fails_the_update_and_the_one_before_goes_on(
    environment: Sandbox, releases: Releases, first: str, load: Load
) -> None:
    serving = environment.outputs(STACK)["release"]
    environment.configure(STACK, {"mlops:release": releases.make("3", model=b"no pickle")})
    with load.running():
        output = environment.up(STACK, fails=True)
        load.wait_for_more()
    assert "The model server keeps the release it has" in output
    assert "can't answer its own example row" in output
    assert not load.failed
    assert set(load.answered) == {(200, serving)}
    environment.configure(STACK, {"mlops:release": serving})
    environment.up(STACK)
    assert environment.outputs(STACK)["release"] == serving


def test_a_canary_is_stated_proven_and_answers_its_share(
    environment: Sandbox, releases: Releases, first: str, load: Load
) -> None:
    serving = environment.outputs(STACK)["release"]
    challenger = releases.make("4")
    environment.configure(STACK, {"mlops:challenger": {"release": challenger, "mode": "canary", "weight": 0.5}})
    environment.up(STACK)
    with load.running():
        assert eventually(lambda: {release for _, release in load.answered} == {serving, challenger})
    assert not load.failed
    assert {status for status, _ in load.answered} == {200}
    environment.configure(STACK, {"mlops:challenger": {"release": "sha256:" + "0" * 64}})
    assert "sha256:0000" in environment.pulumi("preview", "--stack", STACK, fails=True)
    environment.configure(STACK, {"mlops:challenger": None})
    environment.up(STACK)
    after = Load(environment.outputs(STACK)["endpoint_url"], load._body)
    with after.running():
        pass
    assert set(after.answered) == {(200, serving)}


def test_a_digest_that_is_not_in_the_store_is_refused_at_preview(environment: Sandbox, first: str) -> None:
    serving = environment.config(STACK)["mlops:release"]
    environment.configure(STACK, {"mlops:release": "sha256:" + "0" * 64})
    output = environment.pulumi("preview", "--stack", STACK, fails=True)
    environment.configure(STACK, {"mlops:release": serving})
    assert "is not in the store" in output
    assert "Traceback" not in output


def test_the_engines_state_tells_a_new_machine_that_a_ledger_was_cut_off(
    environment: Sandbox, releases: Releases, first: str
) -> None:
    """By who can write to the store and to the stack's file, and not to the state."""
    stage = releases.stage
    known = environment.outputs(STACK)["ledger_head"]
    assert known == str(stage.ledger.chain()[-1].head)
    assert "updated" not in environment.up(STACK), "nothing new was written"
    written = stage.append("retired", stage.signer(), "sha256:" + "9" * 64, {"reason": "a leak was found"})
    assert "1 updated" in environment.up(STACK)
    assert environment.outputs(STACK)["ledger_head"] == str(written.head)
    key = f"ledger/{written.sequence:08d}.json"
    kept = stage.store.read(key)
    stage.store.delete(key)
    forget(stage.store.uri, STACK)
    environment.configure(STACK, {"mlops:ledger": None})
    output = environment.pulumi("preview", "--stack", STACK, fails=True)
    assert f"The engine's state of {STACK} knows entry {written.sequence} of the ledger" in output
    assert "Traceback" not in output
    said = environment.mlops("releases", "--stack", STACK, fails=True)
    assert f"The engine's state of {STACK} knows entry" in said
    stage.store.write(key, kept)
    assert "updated" not in environment.up(STACK)


def test_one_flipped_byte_is_refused_at_preview(environment: Sandbox, releases: Releases, first: str) -> None:
    serving = environment.config(STACK)["mlops:release"]
    spoilt = releases.make("5")
    store, key = releases.stage.store, f"{key_of(spoilt)}/model/model.pkl"
    content = bytearray(store.read(key))
    content[len(content) // 2] ^= 1
    store.write(key, bytes(content))
    environment.configure(STACK, {"mlops:release": spoilt})
    output = environment.pulumi("preview", "--stack", STACK, fails=True)
    environment.configure(STACK, {"mlops:release": serving})
    assert "model/model.pkl was altered" in output
    assert "Traceback" not in output


def test_every_answer_is_in_the_log_when_the_environment_is_gone(
    environment: Sandbox, releases: Releases, first: str, small_problem: Problem, load: Load
) -> None:
    with load.running():
        pass
    environment.pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    logged = read_log(releases.stage.store, small_problem, began, datetime.now(UTC))
    assert logged.num_rows >= len(load.answered)
    assert len(set(logged["prediction_id"].to_pylist())) == logged.num_rows
    assert first in set(logged["release"].to_pylist())
