"""Where a training came from: code, problem definition and installed packages."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Final

from ml.problem import Problem

__all__ = ["code_state", "environment", "exact_freeze", "problem_digest"]

UNKNOWN_COMMIT: Final = "unknown"
REVISION_VARIABLE: Final = "MLOPS_REVISION"
MODIFIED: Final = "-dirty"  # as `git describe --dirty` says it
PACKAGES: Final = ("fairlearn", "mlflow", "numpy", "pandas", "scikit-learn", "scipy")


def code_state(root: Path) -> tuple[str, bool]:
    """The commit of the checkout at `root` and whether files differ from it; `stacks/` is configuration, not code.

    In an image, MLOPS_REVISION says what it was built from. Outside a git checkout the commit is otherwise "unknown"
    and the code counts as modified: nothing vouches for it.
    """
    if built_from := os.environ.get(REVISION_VARIABLE):
        commit = built_from.removesuffix(MODIFIED)
        return commit, built_from.endswith(MODIFIED) or commit == UNKNOWN_COMMIT
    git = shutil.which("git")
    if git is None:
        return UNKNOWN_COMMIT, True

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([git, "-C", str(root), *arguments], capture_output=True, text=True, check=False)

    commit = ask("rev-parse", "HEAD")
    if commit.returncode != 0:
        return UNKNOWN_COMMIT, True
    changes = ask("status", "--porcelain", "--", ":/", ":(top,exclude)stacks")
    return commit.stdout.strip(), changes.returncode != 0 or bool(changes.stdout.strip())


def problem_digest(problem: Problem) -> str:
    """The SHA-256 of the definition's canonical JSON: comments and order of keys don't count."""
    canonical = json.dumps(problem.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def environment() -> dict[str, str]:
    """Python and the packages that a model's numbers depend on, with their versions."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def exact_freeze() -> str:
    """Every installed package as `name==version`, one a line, as pip would freeze it."""
    lines = {f"{d.metadata['Name']}=={d.version}" for d in distributions()}
    return "\n".join(sorted(lines, key=str.lower)) + "\n"
