"""The environment variables that the engine needs: where it is, where its state is, and the passphrase's file."""

import os
import secrets
import sys
from pathlib import Path

from infra.engine.install import Engine

__all__ = ["BACKEND", "PROJECT", "STATE", "engine_environment"]

BACKEND = "PULUMI_BACKEND_URL"

PROJECT = Path(__file__).parents[2]
STATE = PROJECT / ".mlops" / "state"


def engine_environment(engine: Engine, *, keeps_backend: bool = True) -> dict[str, str]:
    """The variables to add to the process's own; what the user has set stays: another backend, a passphrase."""
    added = {
        "PATH": os.pathsep.join([str(Path(sys.prefix) / "bin"), str(engine.bin), os.environ.get("PATH", "")]),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # The salt of a passphrase is in the state as well: a stack file, which is shared, need not have it.
        "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        "PYTHONDONTWRITEBYTECODE": "",  # without bytecode every start takes 2 to 4 times longer
    }
    if BACKEND not in os.environ or not keeps_backend:
        for folder in (STATE.parent, STATE):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)
        added[BACKEND] = STATE.as_uri()
    if not {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & os.environ.keys():
        added["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase_file())
    return added


def _passphrase_file() -> Path:
    """A random passphrase of this user, made once; it encrypts the secrets in the local state."""
    file = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "mlops-reference" / "passphrase"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(32))
    return file
