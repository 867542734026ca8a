"""The ports of a local environment: taken ones are refused before anything is created."""

import socket
from pathlib import Path
from typing import Any

import psutil

from infra.clouds.local import _launch

replaced_by = ()


def refuse(old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    """A new port that something else listens on; what an earlier state left running is ended when its heir starts."""
    ours = set(old.get("ports", {}).values())
    for name, port in new["ports"].items():
        if port not in ours and _is_taken(int(port)) and not _is_of(Path(new["root"]), int(port)):
            return {
                "ports": f"mlops:local.ports.{name} is {int(port)}, and another program already listens there. "
                "End that program, or choose a free port in the stack file."
            }
    return {}


def create(new: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A port is taken by the process that listens on it; there is nothing to make."""
    return "ports", {"host": "127.0.0.1", **new}


def read(_identifier: str, state: dict[str, Any]) -> dict[str, Any]:
    """The ports as they were given."""
    return state


def update(_identifier: str, _old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The new ports."""
    return {"host": "127.0.0.1", **new}


def delete(_identifier: str, _state: dict[str, Any]) -> None:
    """A port is free when its process ends."""


def _is_of(root: Path, port: int) -> bool:
    """Whether a program of the environment in `root` listens there, of which this state knows nothing."""
    for process in _launch.marked(str(root / "programs"), prefix=True):
        try:
            if any(each.laddr and each.laddr.port == port for each in process.net_connections("tcp")):
                return True
        except psutil.Error:
            continue
    return False


def _is_taken(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
