"""What a training says of its candidate, for candidates that a test has laid down; and what others plant there."""

import pickle
from pathlib import Path
from typing import Any

from ml.bundle.bundle import file_digests
from ml.problem import Problem
from ml.runtime import Runtime
from ml.trust.voucher import Vouching

__all__ = ["Marks", "vouch"]


class Marks:
    """Loaded, it leaves a file: so does whatever else a pickle is made to do."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)

    @property
    def pickled(self) -> bytes:
        """What is planted."""
        return pickle.dumps(self)


def vouch(runtime: Runtime, problem: Problem, run_id: str, candidate: Path, *, job: str | None = None) -> None:
    """As the last step of a training does it: by this user's key, or as a platform's `job` without one."""
    Vouching.begin(runtime, problem.name, job).vouch(run_id, file_digests(candidate, unlisted=frozenset()))
