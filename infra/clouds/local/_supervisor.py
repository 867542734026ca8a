"""supervisord of one environment: starts the environment's programs and brings back what dies."""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from pathlib import Path
from typing import Any, cast

import psutil
from supervisor.xmlrpc import SupervisorTransport

from infra.clouds.local import _launch
from infra.clouds.local._private import UMASK, private_folder, write_private

__all__ = ["client", "is_running", "wait_until"]

replaced_by = ("root",)
START_TIMEOUT_S = 20.0
NOT_FOR_PROGRAMS = ("PULUMI_", "MLOPS_KEY_PASSPHRASE")

CONFIGURATION = """\
[unix_http_server]
file={socket}
chmod=0600
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
identifier={identifier}
directory={root}
umask={umask:03o}
logfile={root}/logs/supervisord.log
pidfile={root}/supervisord.pid
childlogdir={root}/logs
[include]
files={root}/programs/*.ini
"""


def refuse(_old: dict[str, Any], _new: dict[str, Any]) -> dict[str, str]:
    """Nothing can be wrong with it beforehand."""
    return {}


def create(new: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Start it in a session of its own (the engine ends its plugins' process groups) and wait until it answers."""
    root = Path(new["root"])
    _end(root)
    for folder in (root, root / "logs", root / "programs"):
        private_folder(folder)
    for stale in (root / "programs").glob("*.ini"):
        stale.unlink()
    file = root / "supervisord.conf"
    text = CONFIGURATION.format(socket=socket_of(root), identifier=new["identifier"], root=root, umask=UMASK)
    write_private(file, text.replace("%", "%%").encode())
    subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(file)],
        check=True,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        umask=UMASK,
        env=_environment() | {_launch.MARK: str(root / "programs")},
    )
    if not wait_until(lambda: is_running(root), START_TIMEOUT_S):
        raise RuntimeError(
            f"supervisord did not answer within {START_TIMEOUT_S:.0f} s; see {root}/logs/supervisord.log."
        )
    return str(root), {}


def _environment() -> dict[str, str]:
    """What a program needs: not the passphrases of whoever ran `pulumi up`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(NOT_FOR_PROGRAMS)}


def read(identifier: str, state: dict[str, Any]) -> dict[str, Any] | None:
    """None when it doesn't answer."""
    return state if is_running(Path(identifier)) else None


def update(_identifier: str, _old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Start it anew; its programs are changed by their own resources."""
    return create(new)[1]


def delete(identifier: str, _state: dict[str, Any]) -> None:
    """End it, its programs, and what a killed supervisor left behind."""
    _end(Path(identifier))


def client(root: Path) -> Any:
    """The supervisor's own RPC interface."""
    transport = SupervisorTransport(None, None, f"unix://{socket_of(root)}")
    return cast(Any, xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)).supervisor


def is_running(root: Path) -> bool:
    """Whether the supervisor of this environment answers."""
    try:
        return client(root).getState()["statename"] == "RUNNING"
    except (OSError, xmlrpc.client.Error):
        return False


def socket_of(root: Path) -> Path:
    """The socket's path: short, as the system allows about 100 bytes, in a folder that only this user can open."""
    folder = Path(tempfile.gettempdir()) / f"mlops-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise PermissionError(f"{folder} must be a folder that only you can open. Remove it and try again.")
    return folder / f"{hashlib.sha256(str(root).encode()).hexdigest()[:16]}.sock"


def wait_until(condition: Any, timeout_s: float) -> bool:
    """Poll a condition; False when it doesn't come true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _end(root: Path) -> None:
    if is_running(root):
        processes = [psutil.Process(client(root).getPID())]
        client(root).shutdown()
        psutil.wait_procs(processes, timeout=30)
    _launch.end(_launch.marked(str(root / "programs"), prefix=True))
    socket_of(root).unlink(missing_ok=True)
