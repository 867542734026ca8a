"""Where the project's checkout is."""

from pathlib import Path
from typing import Final

from ml.errors import InputRefused

__all__ = ["PROJECT_FILE", "project_root"]

PROJECT_FILE: Final = "Pulumi.yaml"


def project_root(start: Path | None = None) -> Path:
    """The nearest folder, from `start` (the working directory) upwards, that holds a Pulumi.yaml."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise InputRefused(f"There is no {PROJECT_FILE} in {start} or above it. Run this inside the project's checkout.")
