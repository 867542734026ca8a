"""The Dockerfile, as its linter and we want it; tests/e2e/test_image.py builds it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_hadolint_finds_nothing() -> None:
    linter = Path(sys.prefix) / "bin" / "hadolint"
    ran = subprocess.run([linter, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
    bad = subprocess.run([linter, "-"], input="FROM debian\n", capture_output=True, text=True, check=False)
    assert "DL3006" in bad.stdout  # it does lint


def test_it_is_built_with_the_makefile_s_uv() -> None:
    (made,) = re.findall(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"uv==(\S+)", (ROOT / "Dockerfile").read_text()) == [made]


def test_its_label_says_the_project_s_version() -> None:
    (version,) = re.findall(r'^version = "(\S+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert set(re.findall(r"^ARG VERSION=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)) == {version}


def test_nothing_reaches_the_build_but_what_is_named() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert {line for line in lines if line.startswith("!")} == {
        "!pyproject.toml", "!uv.lock", "!README.md", "!LICENSE", "!keys", "!ml",
    }  # fmt: skip
