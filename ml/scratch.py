"""Folders for the time of some work: what a killed process leaves goes with the next one that needs a folder."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["scratch_folder"]

PREFIX: Final = "mlops-"
LOCK: Final = "in-use"  # locked by the process that works there; the system unlocks it when that is gone, even killed
FILES: Final = "files"


@contextmanager
def scratch_folder() -> Generator[Path]:
    """An empty folder that only this user can open, with a short path, gone after the block.

    Left-overs of this user's dead processes go first: a killed one can't remove its own.
    """
    _clear_left_overs()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        new = folder / f"{LOCK}.new"
        with new.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.replace(new, folder / LOCK)  # nobody sees it unlocked
            (folder / FILES).mkdir()
            yield folder / FILES


def _clear_left_overs() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            if folder.lstat().st_uid != os.getuid() or folder.is_symlink():
                continue
            with (folder / LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use, not one of these, or just cleared by another process
