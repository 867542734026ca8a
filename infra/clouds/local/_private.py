"""Folders and files that this user alone can open: what the local cloud keeps is about people."""

import os
from pathlib import Path

__all__ = ["UMASK", "private_folder", "write_private"]

UMASK = 0o077
FOLDER, FILE = 0o700, 0o600


def private_folder(folder: Path) -> None:
    """Make the folder and what is missing above it; one that is there is closed."""
    for above in reversed(folder.parents):
        if not above.exists():
            above.mkdir(mode=FOLDER, exist_ok=True)
    folder.mkdir(mode=FOLDER, exist_ok=True)
    folder.chmod(FOLDER)


def write_private(file: Path, data: bytes) -> None:
    """Write the file as a whole; nobody else can read it at any moment."""
    private_folder(file.parent)
    temporary = file.with_name(f".{file.name}-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE), "wb") as stream:
        stream.write(data)
    temporary.replace(file)
