"""No command of one checkout touches what another checkout has made."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.clouds.local import _launch
from infra.engine import environ, install, ownership
from infra.engine.outputs import stack_outputs
from infra.engine.ownership import StateOfAnother, other_checkout, require_own_backend, require_own_stack
from ml.errors import InputRefused
from ml.trust.checkout import require_own_checkout
from pipelines import _steps, down, up

ROOT = Path(__file__).parents[2]
STACK = "local-dev"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose commands these tests are: its stack file, and a state of its own."""
    here = (tmp_path / "b").resolve()
    (here / "stacks").mkdir(parents=True)
    shutil.copy(ROOT / "Pulumi.yaml", here)
    (here / "stacks" / f"Pulumi.{STACK}.yaml").write_text("config:\n  mlops:owner: team\nencryptionsalt: v1:a=\n")
    for module in (environ, ownership, _steps, down, up):
        monkeypatch.setattr(module, "PROJECT", here)
    for module in (environ, ownership):
        monkeypatch.setattr(module, "STATE", here / ".mlops" / "state")
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    return here


@pytest.fixture
def other(tmp_path: Path) -> Path:
    there = (tmp_path / "a").resolve()
    (there / ".mlops" / "state").mkdir(parents=True)
    (there / ".mlops" / STACK / "store").mkdir(parents=True)
    return there


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """An engine that knows the stacks it is given with the folder each is in, and notes what it is asked."""

    def make(**roots: Path) -> Path:
        folder, asked = tmp_path / "bin", tmp_path / "asked"
        folder.mkdir()
        exports = tmp_path / "exports"
        exports.mkdir()
        for stack, root in roots.items():
            ports = {"type": "pulumi-python:dynamic/local:Ports", "inputs": {"root": str(root)}}
            everything = {"deployment": {"resources": [{"type": "pulumi:pulumi:Stack"}, ports]}}
            (exports / stack.replace("_", "-")).write_text(json.dumps(everything))
        listed = json.dumps([{"name": stack.replace("_", "-")} for stack in roots])
        program = folder / "pulumi"
        program.write_text(
            f"""#!/bin/sh
echo "$@" >> {shlex.quote(str(asked))}
case "$1 $2" in
"stack ls") echo {shlex.quote(listed)};;
"stack export") cat {shlex.quote(str(exports))}/"$4";;
"stack output") echo '{{}}';;
version*) echo v{install.VERSION};;
esac
"""
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        for module in (down, up):
            monkeypatch.setattr(module, "install", lambda _: install.Engine(folder, "a test"))
        return asked

    return make


def program_of(root: Path) -> subprocess.Popen[bytes]:
    """A program as an environment's supervisor runs it."""
    marked = os.environ | {_launch.MARK: str(root / "programs" / "monitor.json")}
    return subprocess.Popen(["/bin/sleep", "600"], env=marked)


@pytest.fixture
def running(checkout: Path, other: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """A program of each checkout's environment."""
    programs = {each.name: program_of(each / ".mlops" / STACK) for each in (checkout, other)}
    yield programs
    for program in programs.values():
        program.kill()
        program.wait()


def invoke(command: Any, *words: str) -> Any:
    return CliRunner().invoke(command, ["--stack", STACK, *words])


@pytest.mark.parametrize("command", [up.up, down.down])
def test_the_state_of_another_checkout_is_refused_with_both_paths(
    command: Any,
    checkout: Path,
    other: Path,
    engine: Callable[..., Path],
    running: dict[str, subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it happens where `mlops env` of one clone was run, and `make down YES=1` in another."""
    (checkout / ".mlops" / STACK / "store").mkdir(parents=True)
    asked = engine(local_dev=other / ".mlops" / STACK)
    monkeypatch.setenv("PULUMI_BACKEND_URL", (other / ".mlops" / "state").as_uri())
    result = invoke(command, *(["--yes"] if command is down.down else []))
    assert result.exit_code == 1
    assert str(checkout) in result.output
    assert str(other) in result.output
    assert not asked.exists()
    assert (checkout / ".mlops" / STACK / "store").exists()
    assert [program.poll() for program in running.values()] == [None, None]


@pytest.mark.parametrize("command", [up.up, down.down])
def test_a_copied_checkout_leaves_alone_what_it_was_copied_from(
    command: Any, checkout: Path, other: Path, engine: Callable[..., Path], running: dict[str, subprocess.Popen[bytes]]
) -> None:
    asked = engine(local_dev=other / ".mlops" / STACK)
    result = invoke(command, *(["--yes"] if command is down.down else []))
    assert result.exit_code == 1
    for path in (checkout, other / ".mlops" / STACK, checkout / ".mlops" / "state"):
        assert str(path) in result.output
    assert {line.split()[1] for line in asked.read_text().splitlines()} == {"ls", "export"}
    assert running["a"].poll() is None


def test_a_stack_is_ended_though_its_state_is_gone(
    checkout: Path, engine: Callable[..., Path], running: dict[str, subprocess.Popen[bytes]]
) -> None:
    engine()
    (checkout / ".mlops" / STACK / "store").mkdir(parents=True)
    result = invoke(down.down, "--yes")
    assert result.exit_code == 0, result.output
    running["b"].wait(timeout=10)
    assert running["a"].poll() is None
    assert not (checkout / ".mlops" / STACK).exists()
    assert (checkout / "stacks" / f"Pulumi.{STACK}.yaml").read_text() == "config:\n  mlops:owner: team\n"


def environment_of(checkout: Path) -> dict[str, str]:
    return {"PULUMI_BACKEND_URL": (checkout / ".mlops" / "state").as_uri()}


def test_a_checkout_that_was_moved_or_is_reached_by_a_link_goes_on(
    checkout: Path, other: Path, tmp_path: Path, engine: Callable[..., Path]
) -> None:
    link = tmp_path / "link"
    link.symlink_to(checkout)
    engine(local_dev=link / ".mlops" / STACK, local_test=other / ".mlops" / "gone", local_prod=checkout / "elsewhere")
    for stack in ("local-dev", "local-test", "local-prod"):
        require_own_stack(stack, checkout / ".mlops" / stack, environment_of(checkout))
    assert other_checkout(environment_of(link)["PULUMI_BACKEND_URL"]) is None


def test_a_shared_place_is_taken_for_what_it_holds(
    checkout: Path, other: Path, tmp_path: Path, engine: Callable[..., Path]
) -> None:
    """A folder of another machine under the same name isn't here: it is no sign of a move there."""
    engine(local_dev=checkout / ".mlops" / STACK, local_test=tmp_path / "of another machine")
    for backend in ("s3://team/state", (tmp_path / "shared").as_uri()):
        require_own_backend({"PULUMI_BACKEND_URL": backend})
        require_own_stack("local-dev", checkout / ".mlops" / STACK, {"PULUMI_BACKEND_URL": backend})
        with pytest.raises(StateOfAnother, match="of another machine"):
            require_own_stack("local-test", checkout / ".mlops" / "local-test", {"PULUMI_BACKEND_URL": backend})


@pytest.mark.parametrize(
    "spelt", ["file://{a}/.mlops/state", "file://{a}/x/../.mlops/state/", "file://{a}/%2Emlops/state"]
)
def test_however_it_is_spelt(spelt: str, checkout: Path, other: Path) -> None:
    assert other_checkout(spelt.format(a=other)) == other
    assert other_checkout(spelt.format(a=checkout)) is None


def test_no_output_of_another_checkouts_stack_is_taken(
    checkout: Path, other: Path, engine: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = engine(local_dev=other / ".mlops" / STACK)
    monkeypatch.setenv("PULUMI_BACKEND_URL", (other / ".mlops" / "state").as_uri())
    with pytest.raises(StateOfAnother, match=str(other)):
        stack_outputs(STACK)
    assert "stack output" not in (asked.read_text() if asked.exists() else "")


def test_the_command_line_of_one_checkout_does_nothing_in_another(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout / "stacks")
    require_own_checkout()  # a project, and no checkout of this one: nothing to mix up
    (checkout / "ml").mkdir()
    shutil.copy(ROOT / "ml" / "cli.py", checkout / "ml")
    with pytest.raises(InputRefused, match=rf"{ROOT}.*{checkout}"):
        require_own_checkout()
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "ml", "data", "--help"], capture_output=True, text=True, check=False, cwd=checkout
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert str(checkout) in ended.stderr


def test_a_shell_of_another_checkout_gets_this_ones_state(
    checkout: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.engine import command

    monkeypatch.setattr(command, "PROJECT", checkout)
    monkeypatch.setattr(command, "find", lambda: install.Engine(checkout / "bin", "a test"))
    monkeypatch.setenv("PULUMI_BACKEND_URL", (other / ".mlops" / "state").as_uri())
    result = CliRunner().invoke(command.env, [])
    assert f"export PULUMI_BACKEND_URL={(checkout / '.mlops' / 'state').as_uri()}\n" in result.stdout
    assert str(other) in result.stderr
    assert "MISSING  State" in CliRunner().invoke(command.doctor, []).output
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://team/state")
    assert "PULUMI_BACKEND_URL" not in CliRunner().invoke(command.env, []).stdout
