"""The environment variables that the engine needs: where it is, where its state is, and the passphrase's file."""

import os
import secrets
import sys
from pathlib import Path

from infra.engine.install import Engine

__all__ = ["PROJECT", "engine_environment"]

PROJECT = Path(__file__).parents[2]
STATE = PROJECT / ".mlops" / "state"


def engine_environment(engine: Engine) -> dict[str, str]:
    """The variables to add to the process's own; what the user has set stays: another backend, a passphrase."""
    added = {
        "PATH": os.pathsep.join([str(Path(sys.prefix) / "bin"), str(engine.bin), os.environ.get("PATH", "")]),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PYTHONDONTWRITEBYTECODE": "",  # without bytecode every start takes 2 to 4 times longer
    }
    if "PULUMI_BACKEND_URL" not in os.environ:
        STATE.mkdir(parents=True, exist_ok=True, mode=0o700)
        added["PULUMI_BACKEND_URL"] = STATE.as_uri()
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
