"""A folder that the processes of one run of the suite have in common."""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

__all__ = ["once", "shared_folder"]

VARIABLE = "MLOPS_TESTS_SHARED"


def shared_folder() -> Path:
    """Made by the first process that asks, which removes it when it ends; those that it starts inherit its name."""
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = tempfile.mkdtemp(prefix="mlops-tests-")
        atexit.register(shutil.rmtree, os.environ[VARIABLE], ignore_errors=True)
    return Path(os.environ[VARIABLE])


def once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of this name, made by whichever process asks first; what one that failed has left is made anew."""
    folder = shared_folder() / name
    if not folder.exists():
        with (shared_folder() / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                unfinished = shared_folder() / f"{name}.new"
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                make(unfinished)
                unfinished.rename(folder)
    return folder
