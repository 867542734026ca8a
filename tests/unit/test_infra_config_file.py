"""What a stack file may hold is said in sentences, by whatever command reads it."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.config import ConfigInvalid, StackConfig
from infra.engine import secrets
from infra.engine.install import Engine
from infra.permissions import command as permissions
from infra.prices import command as prices
from pipelines import _steps, preview
from pipelines import policies as policies_

TWO_WAYS = "which readers of YAML take for different things: write it in quotes"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"config:\n  mlops:cost_centre: 0815\n", f"line 2: mlops:cost_centre is 0815, {TWO_WAYS}"),
        (b"config:\n  mlops:cost_centre: on\n", f"mlops:cost_centre is on, {TWO_WAYS}"),
        (b"config:\n  mlops:owner: 2026-11-30\n", f"mlops:owner is 2026-11-30, {TWO_WAYS}"),
        (b"config:\n  mlops:local: {ports: {tracking: 0x5000}}\n", f"mlops:local.ports.tracking is 0x5000, {TWO_WAYS}"),
        (b"config:\n  mlops:owner: '[team'\n", "mlops:owner is '[team'"),
        (b"config:\n  mlops:owner: '" + b"[" * 100_000 + b"'\n", "mlops:owner is '[["),
        (b"config:\n  mlops:owner:\n", "mlops:owner has no value"),
        (b"config:\n  owner: team\n", "write mlops:"),
        (b"config:\n  mlops:owner: a\n  mlops:owner: b\n", "line 3: mlops:owner stands there twice"),
        (b"config:\n  mlops:owner: &a a\n  mlops:cost_centre: *a\n", "mlops:cost_centre repeats another value"),
        (b"config:\n  mlops:owner: !!str 5\n", "has a tag"),
        (b"config:\n  1: a\n", "a key of config is no word"),
        (b"config:\n  mlops:alert_emails:\n    - secure: v1:x\n", "mlops:alert_emails in"),
        (b"config: []\n", "config is no mapping"),
        (b"- a\n", "the file is no mapping"),
        (b"confg:\n  mlops:owner: a\n", "'confg' is no part of a stack file"),
        (b"config:\n  mlops:owner: a\n---\n", "is not one document of YAML"),
        (b"config: {\n", "is not one document of YAML"),
        (b"config:\n\tmlops:owner: a\n", "line 2, has '\\t'"),
        (b"\x00\x01\xff\xfe", "is not UTF-8: byte 2"),
        (b"\x00\x01", "is not one document of YAML"),
        (b"[" * 100_000, "nested too deeply|is not one document of YAML"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, text: bytes, says: str) -> None:
    file = tmp_path / "Pulumi.local-dev.yaml"
    file.write_bytes(text)
    with pytest.raises(ConfigInvalid) as refused:
        StackConfig.read("local-dev", file)
    assert any(each in str(refused.value) for each in says.split("|"))


def test_a_file_that_is_not_there_or_a_folder_is_said(tmp_path: Path) -> None:
    for file in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigInvalid, match="can't be read"):
            StackConfig.read("local-dev", file)


@pytest.mark.parametrize(
    ("text", "cost_centre"),
    [
        (b"", "unassigned"),
        (b"# nothing\n", "unassigned"),
        (b"config:\n", "unassigned"),
        (b"\xef\xbb\xbfconfig:\r\n  mlops:cost_centre: '0815'\r\n", "0815"),
        (b'config:\n  mlops:cost_centre: "on"\n', "on"),
        (b"config:\n  mlops:cost_centre: 815\n", "815"),
        (b"config:\n  mlops:cost_centre: a-1e3\nencryptionsalt: v1:x\n", "a-1e3"),
    ],
)
def test_what_can_be_read_in_one_way_is_read(tmp_path: Path, text: bytes, cost_centre: str) -> None:
    file = tmp_path / "Pulumi.local-dev.yaml"
    file.write_bytes(text)
    assert StackConfig.read("local-dev", file).cost_centre == cost_centre


def engine_that(folder: Path, says: str) -> Engine:
    folder.mkdir()
    (folder / "pulumi").write_text(f"#!/bin/sh\n{says}\n")
    (folder / "pulumi").chmod(0o755)
    return Engine(folder, "a test")


ENCRYPTED = "config:\n  mlops:owner: team\n  mlops:alert_emails:\n    - secure: v1:x\n"


def test_a_secret_is_read_by_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", tmp_path.as_uri())
    file = tmp_path / "Pulumi.local-dev.yaml"
    file.write_text(ENCRYPTED)
    told = r"""echo '{"mlops:alert_emails": {"value": "[\"a@example.org\"]"}, "mlops:owner": {"value": "team"}}'"""
    engine = engine_that(tmp_path / "bin", told)
    monkeypatch.setattr(secrets, "find", lambda: engine)
    assert secrets.read_config("local-dev", file).alert_emails == ("a@example.org",)


@pytest.mark.parametrize("engine", ["echo 'error: incorrect passphrase' >&2; exit 255", None])
def test_a_secret_that_cannot_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str | None
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", tmp_path.as_uri())
    file = tmp_path / "Pulumi.local-dev.yaml"
    file.write_text(ENCRYPTED)
    found = engine_that(tmp_path / "bin", engine) if engine else None
    monkeypatch.setattr(secrets, "find", lambda: found)
    with pytest.raises(ConfigInvalid, match="incorrect passphrase" if engine else "isn't here yet"):
        secrets.read_config("local-dev", file)


@pytest.mark.parametrize("stack", ["aws-sagemaker-dev", "local-dev"])
@pytest.mark.parametrize(
    "text", [None, b"- a\n", b"\xff", b"config:\n  mlops:owner: 2026-11-30\n", b"config:\n  mlops:owner: '[t'\n"]
)
def test_no_command_ends_with_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: str, text: bytes | None
) -> None:
    """Each of those that read a stack file by themselves."""
    (tmp_path / "Pulumi.yaml").write_text("name: mlops\nstackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    file = tmp_path / "stacks" / f"Pulumi.{stack}.yaml"
    if text is not None:
        file.write_bytes(text)
    before = sorted((tmp_path / "stacks").iterdir())
    commands: list[tuple[Any, Any]] = [(permissions, permissions.permissions), (prices, prices.cost)]
    commands += (
        [(preview, preview.preview), (policies_, policies_.policies)]
        if text != b"config:\n  mlops:owner: '[t'\n"
        else []
    )
    for module, command in commands:
        monkeypatch.setattr(module, "PROJECT", tmp_path)
        result = CliRunner().invoke(command, ["--stack", stack])
        assert result.exit_code in (1, 2), result.output
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.output.strip()
    monkeypatch.setattr(_steps, "PROJECT", tmp_path)
    from ml.errors import InputRefused

    with pytest.raises((ConfigInvalid, InputRefused)):
        _steps.local_stack(stack)
    assert sorted((tmp_path / "stacks").iterdir()) == before
