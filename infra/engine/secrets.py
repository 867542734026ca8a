"""A stack's configuration with its secrets, which only the engine can read."""

import json
import os
import subprocess
from pathlib import Path

from infra.config import ConfigInvalid, StackConfig
from infra.engine.environ import PROJECT, engine_environment
from infra.engine.install import find
from infra.engine.ownership import require_own_backend

__all__ = ["read_config"]


def read_config(stack: str, file: Path) -> StackConfig:
    """The configuration that the stack's file states; ConfigInvalid where it can't be used, or a secret not be read."""
    return StackConfig.read(stack, file, lambda: _decrypted(stack, file))


def _decrypted(stack: str, file: Path) -> dict[str, str]:
    engine = find()
    if engine is None:
        raise ConfigInvalid(f"{file} holds a secret, and the engine that can read it isn't here yet: run `make up`.")
    environment = os.environ | engine_environment(engine)
    require_own_backend(environment)
    told = subprocess.run(
        [engine.pulumi, "config", "--json", "--show-secrets", "--stack", stack, "--config-file", str(file)],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        raise ConfigInvalid(
            f"{file} holds a secret, and the engine can't read it: {told.stderr.strip()} Nothing in this project's "
            "configuration is a secret: set it again without --secret."
        )
    return {key: each["value"] for key, each in json.loads(told.stdout).items()}
