"""The local cloud under the real engine: what it plans, makes, sees, mends and ends."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from infra.engine.ownership import StateOfAnother, require_own_stack
from ml.release.stackfile import drop_salt
from pipelines._sandbox import Sandbox
from pipelines._steps import unlock

STACK = "local-dev"


@pytest.fixture(scope="module")
def running(project: Sandbox) -> Sandbox:
    project.add_stack(STACK)
    project.up(STACK)
    return project


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


def eventually(condition: Callable[[], object], timeout_s: float = 60) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def kill(pid: int) -> None:
    process = psutil.Process(pid)
    os.kill(pid, signal.SIGKILL)
    process.wait(timeout=10)


def test_everything_answers_and_nothing_is_left_to_do(running: Sandbox) -> None:
    outputs = running.outputs(STACK)
    assert answers(f"{outputs['tracking_uri']}/health")
    assert answers(f"{outputs['monitor_url']}/health")
    assert "endpoint_url" not in outputs
    preview = running.pulumi("preview", "--refresh", "--stack", STACK)
    assert "to create" not in preview
    assert "to update" not in preview


def test_what_the_local_cloud_makes_is_for_its_user_alone(running: Sandbox) -> None:
    """Artifacts hold rows of people: with an open umask too, no other user can open a folder or read a file."""
    root = running.root(STACK)
    uri = running.outputs(STACK)["tracking_uri"]
    with urllib.request.urlopen(f"{uri}/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=120) as response:
        assert response.status == 200  # the first question makes the database
    artifact = f"{uri}/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/rows.csv"
    request = urllib.request.Request(artifact, b"row of a person", method="PUT")
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200
    made = [root, *root.rglob("*")]
    assert {"rows.csv", "mlflow.db", "supervisord.conf", "tracking.log", "tracking.json", "store"} <= {
        each.name for each in made
    }
    assert [str(each) for each in made if each.lstat().st_mode & 0o077 and not each.is_symlink()] == []


def test_the_state_says_whose_environment_it_holds(running: Sandbox, tmp_path: Path) -> None:
    require_own_stack(STACK, running.root(STACK), running.environment)
    with pytest.raises(StateOfAnother, match=str(running.root(STACK))):
        require_own_stack(STACK, tmp_path, running.environment)


def test_a_stack_file_without_the_salt_is_enough(running: Sandbox) -> None:
    """The engine takes the salt from the state, so that nobody need share theirs; and somebody else's is no use."""
    file = running.stack_file(STACK)
    assert "encryptionsalt" in file.read_text()
    drop_salt(file)
    assert "encryptionsalt" not in file.read_text()
    assert running.outputs(STACK)["store_uri"]
    assert "encryptionsalt" not in file.read_text()
    assert "to create" not in running.pulumi("preview", "--stack", STACK)


def test_the_sdks_debug_messages_come_when_they_are_asked_for(running: Sandbox) -> None:
    assert "resource registration prepared" not in running.pulumi("preview", "--debug", "--stack", STACK)
    asked = running.run("env", "MLOPS_SDK_DEBUG=1", "pulumi", "preview", "--debug", "--stack", STACK)
    assert "resource registration prepared" in asked.stdout


def test_no_program_is_handed_the_passphrase_of_whoever_ran_up(running: Sandbox) -> None:
    assert running.environment["PULUMI_CONFIG_PASSPHRASE"]
    for pid in running.processes(STACK).values():
        handed = psutil.Process(pid).environ()
        assert "PATH" in handed
        assert not [name for name in handed if name.startswith("PULUMI_") or "PASSPHRASE" in name]


def test_a_killed_process_is_back_within_seconds(running: Sandbox) -> None:
    outputs = running.outputs(STACK)
    for name, url in (
        ("tracking", f"{outputs['tracking_uri']}/health"),
        ("monitor", f"{outputs['monitor_url']}/health"),
    ):
        pid = running.processes(STACK)[name]
        kill(pid)
        assert eventually(lambda name=name, pid=pid: running.processes(STACK).get(name, pid) != pid), name
        assert eventually(lambda url=url: answers(url)), name


def test_a_killed_supervisor_shows_in_refresh_and_is_mended_by_up(running: Sandbox) -> None:
    kill(int((running.root(STACK) / "supervisord.pid").read_text()))
    refreshed = running.pulumi("refresh", "--yes", "--skip-preview", "--stack", STACK)
    assert "platform-supervisor" in refreshed
    assert "3 deleted" in refreshed
    assert "3 created" in running.up(STACK)
    assert answers(f"{running.outputs(STACK)['tracking_uri']}/health")


def test_programs_that_outlive_their_state_are_ended_and_not_in_the_way(running: Sandbox) -> None:
    """As somebody leaves them who deletes the state's folder instead of running `make down`."""
    before = set(running.processes(STACK).values())
    running.pulumi("stack", "rm", "--yes", "--force", "--preserve-config", STACK)
    running.pulumi("stack", "init", STACK)
    running.up(STACK)
    after = running.processes(STACK)
    assert set(after) >= {"tracking", "monitor"}
    assert not before & set(after.values())


def test_a_taken_port_is_an_error_before_anything_is_created(project: Sandbox) -> None:
    stack = "local-test"
    project.add_stack(stack)
    with socket.socket() as other:
        other.bind(("127.0.0.1", project.config(stack)["mlops:local"]["ports"]["monitor"]))
        other.listen()
        output = project.pulumi("up", "--yes", "--stack", stack, fails=True)
    assert "another program already listens there" in output
    assert "mlops:local.ports.monitor" in output
    assert not project.root(stack).exists()


def test_a_killed_engine_leaves_no_program_and_no_lock(project: Sandbox) -> None:
    stack = "local-test"
    command = ["pulumi", "up", "--yes", "--skip-preview", "--stack", stack]
    engine = subprocess.Popen(
        command, cwd=project.folder, env=project.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    started = psutil.Process(engine.pid)
    assert eventually(lambda: any("language-python-exec" in " ".join(each.cmdline()) for each in of(started)))
    children = of(started)
    kill(engine.pid)
    psutil.wait_procs(children, timeout=20)
    assert [child for child in children if child.is_running()] == []
    assert "currently locked" in project.pulumi("refresh", "--yes", "--stack", stack, fails=True)
    unlock(stack, project.environment)
    project.pulumi("refresh", "--yes", "--stack", stack)


def of(process: psutil.Process) -> list[psutil.Process]:
    return process.children(recursive=True)


def test_wrong_configuration_is_a_sentence_and_no_traceback(project: Sandbox) -> None:
    stack = "local-test"
    project.configure(stack, {"mlops:colour": "blue"})
    output = project.pulumi("preview", "--stack", stack, fails=True)
    assert "mlops:colour is not a known key" in output
    assert "Traceback" not in output


def test_a_pinned_release_that_is_not_in_the_store_is_refused_at_preview(running: Sandbox) -> None:
    running.configure(STACK, {"mlops:release": "sha256:" + "0" * 64})
    output = running.pulumi("preview", "--stack", STACK, fails=True)
    assert "sha256:0000" in output
    assert "Traceback" not in output
    running.configure(STACK, {"mlops:release": None})


def test_destroy_leaves_no_process_and_keeps_the_data(running: Sandbox) -> None:
    (running.root(STACK) / "store" / "kept.txt").write_text("data")
    assert running.processes(STACK)
    running.pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK)
    assert not running.processes(STACK)
    assert (running.root(STACK) / "store" / "kept.txt").exists()


def test_prod_is_protected_as_a_whole_until_somebody_says_otherwise(project: Sandbox) -> None:
    stack = "local-prod"
    project.add_stack(stack)
    project.up(stack)
    output = project.pulumi("destroy", "--yes", "--skip-preview", "--stack", stack, fails=True)
    assert "protect" in output
    assert set(project.processes(stack)) >= {"tracking", "monitor"}
    project.pulumi("state", "unprotect", "--all", "--yes", "--stack", stack)
    project.pulumi("destroy", "--yes", "--skip-preview", "--stack", stack)
    assert not project.processes(stack)
