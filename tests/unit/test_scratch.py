"""What a killed process leaves in the temporary folder goes; what a living one works in stays."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml.scratch import scratch_folder

WORK = """
from ml.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "bundle").write_bytes(b"a copy")
    print(folder, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it is asked for again
    return tmp_path


@contextmanager
def working() -> Generator[tuple[subprocess.Popen[str], Path]]:
    """A process that has a copy in its folder and goes on."""
    with subprocess.Popen(
        [sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_it_is_empty_and_one_s_own_and_gone_afterwards(temporary: Path) -> None:
    with scratch_folder() as folder:
        assert folder.is_relative_to(temporary)
        assert list(folder.iterdir()) == []
        assert folder.parent.stat().st_mode & 0o077 == 0
        with scratch_folder() as another:
            assert another != folder
        assert folder.is_dir()
    assert list(temporary.iterdir()) == []


def test_the_next_one_clears_what_a_killed_process_left_and_leaves_a_living_one_s(temporary: Path) -> None:
    with working() as (_, used), working() as (killed, left):
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (left / "bundle").exists()
        with scratch_folder():
            assert not left.parent.exists()
            assert (used / "bundle").read_bytes() == b"a copy"


def test_what_is_not_of_this_kind_stays(temporary: Path) -> None:
    other = temporary / "mlops-something"
    other.mkdir()
    (other / "kept").touch()
    linked = temporary / "mlops-link"
    with working() as (killed, left):
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    elsewhere = temporary / "elsewhere"
    left.parent.rename(elsewhere)
    linked.symlink_to(elsewhere)
    with scratch_folder():
        pass
    assert (other / "kept").exists()
    assert (elsewhere / "files" / "bundle").exists()
