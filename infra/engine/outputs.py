"""A stack's outputs, read with the engine: how `ml.runtime` learns where a stack's things are."""

import json
import os
import subprocess
from typing import Any

from infra.engine.environ import PROJECT, engine_environment
from infra.engine.install import VERSION, find
from infra.engine.ownership import require_own_backend

__all__ = ["stack_outputs"]


def stack_outputs(stack: str) -> dict[str, Any]:
    """The outputs of `stack`, empty before its first `pulumi up`; RuntimeError in the engine's words.

    StateOfAnother where the engine is told of another checkout's state.
    """
    engine = find()
    if engine is None:
        raise RuntimeError(f"The Pulumi CLI {VERSION} isn't here yet: run `make up`.")
    environment = os.environ | engine_environment(engine)
    require_own_backend(environment)
    result = subprocess.run(
        [engine.pulumi, "stack", "output", "--json", "--stack", stack],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(result.stderr.strip() or f"pulumi ended with {result.returncode}")
    return json.loads(result.stdout)
