"""One program under the supervisor: a command that is kept running, and a URL that says when it is ready."""

import json
import shlex
import sys
import urllib.error
import urllib.request
import xmlrpc.client
from pathlib import Path
from typing import Any

from infra.clouds.local import _launch, _supervisor
from infra.clouds.local._private import UMASK, private_folder, write_private

replaced_by = ("root", "name")
ALIVE = ("STARTING", "RUNNING", "BACKOFF")
LOG_LINES = 20
STARTS = 3  # one that ends so often while it is waited for will not come up

CONFIGURATION = """\
[program:{name}]
command={command}
autorestart=true
startsecs=1
startretries=30
stopasgroup=true
killasgroup=true
stopwaitsecs=15
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
umask={umask:03o}
"""


def refuse(_old: dict[str, Any], _new: dict[str, Any]) -> dict[str, str]:
    """What is wrong with a program shows when it starts."""
    return {}


def create(new: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Write its specification, hand it to the supervisor, wait until it is ready; a failure leaves nothing behind."""
    root, name = Path(new["root"]), str(new["name"])
    _remove(root, name)
    for folder in new["folders"]:
        private_folder(root / folder)
    for path, text in new["files"].items():
        write_private(root / path, text.encode())
    specification = _specification(root, name)
    started_as = {key: new[key] for key in ("command", "environment")} | {"folder": str(root)}
    write_private(specification, json.dumps(started_as).encode())
    command = shlex.join([sys.executable, _launch.__file__, str(specification)])
    text = CONFIGURATION.format(name=name, command=command, log=_log(root, name), umask=UMASK).replace("%", "%%")
    write_private(specification.with_suffix(".ini"), text.encode())
    supervisor = _supervisor.client(root)
    supervisor.reloadConfig()
    supervisor.addProcessGroup(name)
    try:
        _wait_until_ready(root, name, _url(new) + new["ready_path"], float(new["ready_timeout_s"]))
    except RuntimeError:
        _remove(root, name)
        raise
    return f"{root}:{name}", {"url": _url(new)}


def read(_identifier: str, state: dict[str, Any]) -> dict[str, Any] | None:
    """None when the supervisor doesn't know it, has given it up, or is gone itself."""
    return state if _info(Path(state["root"]), state["name"])["statename"] in ALIVE else None


def update(_identifier: str, _old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Start it anew as it should be now."""
    return create(new)[1]


def delete(_identifier: str, state: dict[str, Any]) -> None:
    """Stop it and forget it."""
    _remove(Path(state["root"]), state["name"])


def _wait_until_ready(root: Path, name: str, url: str, timeout_s: float) -> None:
    starts: set[int] = set()

    def has_failed() -> bool:
        info = _info(root, name)
        starts.add(info["start"])
        return info["statename"] not in ALIVE or len(starts) > STARTS

    if _supervisor.wait_until(lambda: _answers(url) or has_failed(), timeout_s) and not has_failed():
        return
    log = _log(root, name)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:] if log.exists() else []
    why = "ends as soon as it starts" if has_failed() else f"did not answer on {url} within {timeout_s:.0f} s"
    raise RuntimeError(f"{name} {why}. The end of {log}:\n  " + "\n  ".join(lines))


def _url(props: dict[str, Any]) -> str:
    return f"http://{props['address']}"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 # the stack's own loopback URL
            return 200 <= response.status < 300
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _info(root: Path, name: str) -> dict[str, Any]:
    try:
        return _supervisor.client(root).getProcessInfo(name)
    except (OSError, xmlrpc.client.Error):
        return {"statename": "UNKNOWN", "start": 0}


def _remove(root: Path, name: str) -> None:
    for file in (_specification(root, name).with_suffix(".ini"), _specification(root, name)):
        file.unlink(missing_ok=True)
    if _info(root, name)["statename"] != "UNKNOWN":
        supervisor = _supervisor.client(root)
        if _info(root, name)["statename"] in ALIVE:
            supervisor.stopProcess(name)
        supervisor.reloadConfig()
        supervisor.removeProcessGroup(name)
    _launch.end(_launch.marked(str(_specification(root, name))))


def _specification(root: Path, name: str) -> Path:
    return root / "programs" / f"{name}.json"


def _log(root: Path, name: str) -> Path:
    return root / "logs" / f"{name}.log"
