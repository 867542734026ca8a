"""What `make up` and `make down` look at before they do anything."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.engine.install import Engine
from pipelines import _steps, down, up

ELSEWHERE = "another-machine"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run."""
    ran: list[list[str]] = []
    for module in (_steps, up):
        monkeypatch.setattr(module, "run", lambda command, _: ran.append(command))
    return ran


@pytest.fixture
def pid_of_a_dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def engine_s_pid(tmp_path: Path) -> Iterator[int]:
    program = tmp_path / "pulumi"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        yield process.pid
        process.kill()


def lock(folder: Path, holder: Any) -> dict[str, str]:
    file = folder / ".pulumi/locks/organization/mlops/local-dev/1.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(holder))
    return {"PULUMI_BACKEND_URL": folder.as_uri()}


def test_the_lock_of_an_engine_that_is_gone_is_taken_away(
    tmp_path: Path, commands: list[list[str]], pid_of_a_dead_process: int
) -> None:
    _steps.unlock("local-dev", lock(tmp_path, {"pid": pid_of_a_dead_process, "hostname": socket.gethostname()}))
    assert commands == [["pulumi", "cancel", "--yes", "--stack", "local-dev"]]


def test_the_lock_of_a_process_whose_number_another_program_has_now_is_taken_away(
    tmp_path: Path, commands: list[list[str]]
) -> None:
    _steps.unlock("local-dev", lock(tmp_path, {"pid": os.getpid(), "hostname": socket.gethostname()}))
    assert commands


def test_the_lock_of_an_engine_that_runs_stays(tmp_path: Path, commands: list[list[str]], engine_s_pid: int) -> None:
    _steps.unlock("local-dev", lock(tmp_path / "state", {"pid": engine_s_pid, "hostname": socket.gethostname()}))
    assert commands == []


@pytest.mark.parametrize("holder", [{"pid": 1, "hostname": ELSEWHERE}, {}, "broken"])
def test_a_lock_that_says_nothing_of_this_machine_stays(
    tmp_path: Path, commands: list[list[str]], holder: object
) -> None:
    _steps.unlock("local-dev", lock(tmp_path, holder))
    _steps.unlock("local-dev", {"PULUMI_BACKEND_URL": "s3://bucket"})
    assert commands == []


@pytest.mark.parametrize("command", [up.up, down.down])
@pytest.mark.parametrize(("stack", "says"), [("aws-sagemaker-prod", "docs/aws.md"), ("nonsense", "has no file")])
def test_a_stack_that_is_not_on_this_laptop_is_refused_before_anything_is_done(
    command: Any, stack: str, says: str, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (up, down):
        monkeypatch.setattr(module, "install", lambda _: pytest.fail("it went on"))
    result = CliRunner().invoke(command, ["--stack", stack])
    assert result.exit_code == 1
    assert says in result.output
    assert commands == []


def test_a_later_environment_comes_up_without_a_release_and_says_where_it_gets_one(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(up, "install", lambda _: Engine(tmp_path, "a test"))
    monkeypatch.setattr(up, "environment_exists", lambda *_: False)
    monkeypatch.setattr(up, "call", lambda *_: pytest.fail("nothing is trained for it"))
    monkeypatch.setenv("PULUMI_BACKEND_URL", tmp_path.as_uri())
    result = CliRunner().invoke(up.up, ["--stack", "local-test"])
    assert result.exit_code == 0, result.output
    assert "mlops promote --from local-dev --to local-test" in result.output
    assert [command[1] for command in commands] == ["stack", "up"]
