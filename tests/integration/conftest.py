"""What integration tests share: a real MLflow server."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

START_S = 90.0


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow server on a free port, with a database and artifacts of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    artifacts = {"ROOT": "mlflow-artifacts:/", "DESTINATION": f"{folder}/artifacts"}
    with mlflow_server(folder, artifacts, _MLFLOW_SERVER_SERVE_ARTIFACTS="true") as url:
        yield url


@contextlib.contextmanager
def mlflow_server(folder: Path, artifacts: dict[str, str], **variables: str) -> Iterator[str]:
    """An MLflow server whose artifacts are where `artifacts` says; its URL.

    It is started as the local cloud does: without the process that does nothing but start uvicorn.
    """
    folder.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["-m", "uvicorn", "mlflow.server.fastapi_app:app", "--host", "127.0.0.1", "--port", str(port)]
    places = {f"_MLFLOW_SERVER_ARTIFACT_{name}": place for name, place in artifacts.items()}
    places["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{folder}/mlflow.db"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | quiet | places | variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_S
        while not _listens(port):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            threading.Event().wait(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, 9)
        server.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
