"""MLServer with its MLflow runtime, in an environment of its own: `serve_mlserver.py <port> <model folder>`."""

import json
import os
import socket
import sys
import tempfile
from pathlib import Path


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    port, model = int(sys.argv[1]), sys.argv[2]
    folder = Path(tempfile.mkdtemp(prefix="mlserver-"))
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    (folder / "settings.json").write_text(json.dumps(settings | {"parallel_workers": 1}), encoding="utf-8")
    runtime = {"name": "model", "implementation": "mlserver_mlflow.MLflowRuntime", "parameters": {"uri": model}}
    (folder / "model-settings.json").write_text(json.dumps(runtime), encoding="utf-8")
    mlserver = str(Path(sys.executable).with_name("mlserver"))
    os.execv(mlserver, ["mlserver", "start", str(folder)])  # noqa: S606
