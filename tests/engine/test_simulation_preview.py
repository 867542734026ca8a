"""Stacks preview with no account, under the real engine; a cloud's others are previewed where they live (life.py)."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.config import StackConfig
from infra.engine.environ import PROJECT

ALL = sorted(file.stem.removeprefix("Pulumi.") for file in (PROJECT / "stacks").glob("Pulumi.*.yaml"))
STACKS = [stack for stack in ALL if stack.startswith("local-") or stack.endswith("-prod")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulation")


def preview(stack: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.preview", "--stack", stack, "--folder", str(folder)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_previews_with_no_account_and_is_drawn(stack: str, folder: Path) -> None:
    before = (PROJECT / "stacks" / f"Pulumi.{stack}.yaml").read_bytes()
    shown = preview(stack, folder)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "nothing of this exists in an account" in shown.stderr
    assert "to create" in shown.stdout
    assert (folder / "pictures" / f"{stack}.svg").read_text().startswith("<svg")
    assert not list((folder / "accounts").glob("*.json"))
    assert (PROJECT / "stacks" / f"Pulumi.{stack}.yaml").read_bytes() == before


def test_a_local_stack_previews_also_while_its_ports_are_in_use(folder: Path) -> None:
    port = StackConfig.read("local-dev", PROJECT / "stacks" / "Pulumi.local-dev.yaml").local.ports.metrics
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", port))
            other.listen()
        except OSError:
            pass  # whoever runs the tests has it up
        shown = preview("local-dev", folder)
    assert shown.returncode == 0, shown.stdout + shown.stderr


def test_a_stack_that_is_none_is_a_sentence(folder: Path) -> None:
    shown = preview("aws-mainframe-dev", folder)
    assert shown.returncode == 1
    assert "is not <target>-<environment>" in shown.stderr
    assert "Traceback" not in shown.stderr
