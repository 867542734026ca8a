"""Plans of shipped stacks, made once a run of the suite by whichever worker asks first, and read by all others.

A plan takes a second or three and answers many questions. Whoever gets one must not change it.
"""

import pickle
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.planned import Planned, plan
from tests.shared import once

__all__ = ["shared_plan"]

READ: dict[Path, Planned] = {}


def shared_plan(stack: str, *, preview: bool = False, released: bool = True, **values: Any) -> Planned:
    """As `tests.planned.plan`, made once."""

    def make(inside: Path) -> None:
        found = plan(stack, inside / "account", preview=preview, released=released, **values)
        (inside / "planned.pickle").write_bytes(pickle.dumps(found))

    asked = repr((preview, released, sorted(values.items())))
    folder = once(f"{stack}-{sha256(asked.encode()).hexdigest()[:12]}", make)
    if folder not in READ:
        found = pickle.loads((folder / "planned.pickle").read_bytes())  # noqa: S301 # this run has written it
        READ[folder] = replace(found, account=folder / "account")
    return READ[folder]
