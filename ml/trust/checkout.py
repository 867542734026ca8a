"""Where the project's checkout is."""

from pathlib import Path
from typing import Final

from ml.errors import InputRefused

__all__ = ["PROJECT_FILE", "project_root", "require_own_checkout"]

PROJECT_FILE: Final = "Pulumi.yaml"


def project_root(start: Path | None = None) -> Path:
    """The nearest folder, from `start` (the working directory) upwards, that holds a Pulumi.yaml."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise InputRefused(f"There is no {PROJECT_FILE} in {start} or above it. Run this inside the project's checkout.")


def require_own_checkout() -> None:
    """InputRefused in another checkout than the one this code is of: it would mix the two's stacks, pins and keys."""
    ours = Path(__file__).resolve().parents[2]
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / PROJECT_FILE).is_file():
            theirs = (folder / "ml" / "cli.py").resolve()
            if theirs.is_file() and theirs != ours / "ml" / "cli.py" and (ours / PROJECT_FILE).is_file():
                raise InputRefused(
                    f"This `mlops` is of the checkout {ours}, and it was run in {folder}, another one. Nothing was "
                    f'done. Run {folder}/.venv/bin/mlops, or `eval "$({folder}/.venv/bin/mlops env)"` first.'
                )
            return
