"""Whose a state is: no command of one checkout touches what another checkout has made.

A shell keeps the variables of `mlops env` when it moves to another checkout, and a copied checkout brings the state
of the one that it was copied from along.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from infra.engine.environ import BACKEND, PROJECT, STATE
from ml.errors import MlopsError

__all__ = ["StateOfAnother", "other_checkout", "require_own_backend", "require_own_stack"]

LOCAL_RESOURCES = "pulumi-python:dynamic/local:"
DEFAULT = STATE.relative_to(PROJECT).parts


class StateOfAnother(MlopsError):
    """The state belongs to another checkout; nothing was touched."""


def other_checkout(backend: str | None) -> Path | None:
    """The other checkout whose own state `backend` is; None for this one's, and for a place that somebody chose."""
    folder = _folder(backend)
    if folder is None or folder.parts[-len(DEFAULT) :] != DEFAULT or folder == STATE.resolve():
        return None
    return folder.parents[len(DEFAULT) - 1]


def require_own_backend(environment: Mapping[str, str]) -> None:
    """StateOfAnother where the engine is told of the state of another checkout."""
    if other := other_checkout(environment.get(BACKEND)):
        raise StateOfAnother(
            f"{BACKEND} is the state of another checkout, {other}, and this one is {PROJECT}. Nothing was done. "
            f'Run `unset {BACKEND}`, or `eval "$({PROJECT}/.venv/bin/mlops env)"`, and the command again.'
        )


def require_own_stack(stack: str, root: Path, environment: Mapping[str, str]) -> None:
    """StateOfAnother where what the state says of the local `stack` stands elsewhere than in `root`, or in here.

    A shared place may hold the state of another checkout or machine under the same name. In this checkout's own state
    a folder that is no more says that the checkout was moved.
    """
    backend = (os.environ | environment)[BACKEND]
    is_own_state = _folder(backend) == STATE.resolve()
    for there in sorted(_roots(stack, environment)):
        was_moved = is_own_state and not there.exists()
        if there == root.resolve() or PROJECT.resolve() in there.parents or was_moved:
            continue
        remedy = (
            f"If this checkout is a copy, remove its copy of the state, {STATE}"
            if is_own_state
            else f"Set {BACKEND} to another place for this checkout"
        )
        raise StateOfAnother(
            f"The state in {backend} has {stack} in {there}, and this checkout has it in {root}. Nothing was done. "
            f"{remedy}, and run the command again."
        )


def _roots(stack: str, environment: Mapping[str, str]) -> set[Path]:
    """The folders of the local environments that the state's resources name."""
    exported = subprocess.run(
        ["pulumi", "stack", "export", "--stack", stack],
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if exported.returncode:
        raise MlopsError(f"The state of {stack} can't be read. {exported.stderr.strip()}")
    resources = (json.loads(exported.stdout).get("deployment") or {}).get("resources") or []
    given = [each.get("inputs", {}) for each in resources if each["type"].startswith(LOCAL_RESOURCES)]
    return {Path(inputs["root"]).resolve() for inputs in given if isinstance(inputs.get("root"), str)}


def _folder(backend: str | None) -> Path | None:
    parts = urlsplit(backend or "")
    return Path(unquote(parts.path)).expanduser().resolve() if parts.scheme == "file" and parts.path else None
