"""A challenger in a stack file: typed, proven like the pinned release, and handed to the server."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.clouds.local import _deployment
from infra.config import ConfigInvalid, StackConfig
from infra.release import PinRefused, check
from ml.bundle.bundle import key_of
from ml.problem import Problem
from ml.serving.deployment import stated
from tests.stages import release_into, stage

FIRST, SECOND = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def parsed(pinned: str | None, **challenger: Any) -> StackConfig:
    values = {"mlops:challenger": json.dumps(challenger)}
    return StackConfig.parse("local-dev", values | ({"mlops:release": pinned} if pinned else {}))


def test_a_challenger_is_a_shadow_of_a_tenth_unless_it_says_otherwise() -> None:
    challenger = parsed(FIRST, release=SECOND).challenger
    assert challenger is not None
    assert (challenger.mode, challenger.weight) == ("shadow", 0.1)


@pytest.mark.parametrize(
    ("pinned", "challenger", "said"),
    [
        (None, {"release": SECOND}, "nothing is pinned that it could challenge"),
        (FIRST, {"release": FIRST}, "it is the pinned release"),
        (FIRST, {"release": "latest"}, "challenger.release is 'latest'"),
        (FIRST, {"release": SECOND, "weight": 0}, "challenger.weight is 0"),
        (FIRST, {"release": SECOND, "weight": 1.01}, "challenger.weight is 1.01"),
        (FIRST, {"release": SECOND, "mode": "blue-green"}, "challenger.mode is 'blue-green'"),
        (FIRST, {"release": SECOND, "colour": "blue"}, "challenger.colour is not a known key"),
    ],
)
def test_a_challenger_that_makes_no_sense_is_refused(pinned: str | None, challenger: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        parsed(pinned, **challenger)


def test_a_challenger_is_proven_like_the_release_it_challenges(
    tmp_path: Path, candidate: Path, small_problem: Problem
) -> None:
    dev = stage(tmp_path, "dev")
    first = release_into(dev, candidate, small_problem)
    second = release_into(dev, candidate, small_problem, version="2")
    config = StackConfig.parse(dev.stack, {"mlops:release": first, "mlops:challenger": json.dumps({"release": second})})
    assert check(config, dev.store.uri, tmp_path) == first
    model = f"{key_of(second)}/model/model.pkl"
    content = bytearray(dev.store.read(model))
    content[len(content) // 2] ^= 1
    dev.store.write(model, bytes(content))
    with pytest.raises(PinRefused, match=r"model/model\.pkl was altered") as refused:
        check(config, dev.store.uri, tmp_path)
    assert second in str(refused.value)


def properties(file: Path, pinned: str, **challenger: Any) -> dict[str, Any]:
    return {"file": str(file), "release": pinned, "challenger": challenger, "url": "http://127.0.0.1:1"}


def test_the_server_reads_what_the_deployment_writes(tmp_path: Path) -> None:
    file = tmp_path / "deployment.json"
    new = properties(file, FIRST, release=SECOND, mode="canary", weight=1.0)
    identifier, outputs = _deployment.create(new)
    assert outputs == {"serving": FIRST}
    found = stated(file)
    assert found is not None
    assert found.challenger is not None
    assert (found.release, found.challenger.release, found.challenger.mode) == (FIRST, SECOND, "canary")
    assert _deployment.read(identifier, new) == new | outputs
    _deployment.update(identifier, new, properties(file, SECOND))
    second = properties(file, SECOND) | {"serving": SECOND}
    assert _deployment.read(identifier, second) == second
    _deployment.delete(identifier, new)
    assert _deployment.read(identifier, new) is None


@pytest.mark.parametrize("failure", [TimeoutError("timed out"), ConnectionResetError("reset")], ids=repr)
def test_a_swap_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: OSError
) -> None:
    file = tmp_path / "deployment.json"
    _deployment.create(properties(file, FIRST))
    (tmp_path / "admin-token").write_text("token")
    asked: list[str] = []

    def ask(*_: object, **__: object) -> None:
        asked.append(json.loads(file.read_text())["release"])
        raise failure

    monkeypatch.setattr("infra.clouds.local._deployment.urllib.request.urlopen", ask)
    with pytest.raises(RuntimeError, match="did not say"):
        _deployment.update(str(file), {}, properties(file, SECOND))
    assert json.loads(file.read_text()) == {"release": FIRST}
    assert asked == [SECOND, FIRST]
