"""A server or a monitor as a process of its own, for tests that ask it over real sockets."""

import contextlib
import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

from ml.store import Store

START_S = 60.0
JSON = {"Content-Type": "application/json"}


class Process:
    """`mlops …`, or another module's command, on a free port."""

    def __init__(
        self, *arguments: str, environment: dict[str, str] | None = None, stdout: Any = None, module: str = "ml"
    ) -> None:
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self.popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, "--port", "0"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=inherited | (environment or {}),
        )
        assert self.popen.stderr is not None
        self.said = b""
        while not (found := re.search(rb"Listening on http://[\d.]+:(\d+)[\n\"]", self.said)):
            ready, _, _ = select.select([self.popen.stderr], [], [], START_S)
            chunk = os.read(self.popen.stderr.fileno(), 65536) if ready else b""
            assert chunk, f"it did not listen: {self.said.decode()}"
            self.said += chunk
        self.port = int(found.group(1))
        self._drain = threading.Thread(target=self._read_on, daemon=True)
        self._drain.start()

    def _read_on(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.said += line

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        return self.answered(method, path, body, headers)[:2]

    def answered(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, Message]:
        """The status, the body and the headers."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read(), response.headers

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = START_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.said.decode()
            assert self.popen.poll() is None, self.said.decode()
            threading.Event().wait(0.05)

    def end(self) -> int:
        self.popen.send_signal(signal.SIGTERM)
        code = self.popen.wait(timeout=30)
        self._drain.join(timeout=30)  # all that it said is in `said`
        return code


@contextlib.contextmanager
def process(*arguments: str, **given: Any) -> Iterator[Process]:
    running = Process(*arguments, **given)
    try:
        yield running
    finally:
        if running.popen.poll() is None:
            running.popen.kill()
            running.popen.wait()


@contextlib.contextmanager
def server(tmp_path: Path, store: Store, *options: str, **given: Any) -> Iterator[Process]:
    arguments = ["serve", "--deployment", str(deployment(tmp_path)), "--store", store.uri, *options]
    with process(*arguments, **given) as running:
        yield running


def deployment(tmp_path: Path) -> Path:
    (tmp_path / "serving").mkdir(exist_ok=True)
    return tmp_path / "serving" / "deployment.json"


def state(tmp_path: Path, release: str) -> None:
    deployment(tmp_path).write_text(json.dumps({"release": release}))


def reload(running: Process, tmp_path: Path) -> tuple[int, dict[str, Any]]:
    token = (tmp_path / "serving" / "admin-token").read_text()
    status, body = running.ask("POST", "/admin/reload", headers={"Authorization": f"Bearer {token}"})
    return status, json.loads(body)
