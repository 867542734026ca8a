"""Who is compared: how each is started, asked and read. All serve the same scikit-learn pipeline or its release."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.serving.release import Release

HERE = Path(__file__).parent
OURS = "this project"
ECHO = "echo on the same server"
MLFLOW = "mlflow models serve"
Rows = list[dict[str, int]]


@dataclass(frozen=True)
class Contender:
    """A server: the command that starts it on a port, its path, a request of rows, and the scores in an answer."""

    name: str
    command: Callable[[int], list[str]]
    path: str
    body: Callable[[Rows], Any]
    scores: Callable[[Any], list[float]] | None
    versions: dict[str, str]


def contenders(release: Release, work: Path) -> list[Contender]:
    """Every contender; those of other projects get an environment of their own in `work`."""
    python, model = sys.executable, str(release.bundle / "model")
    own = {name: version(name) for name in ("uvicorn", "uvloop", "httptools", "msgspec", "numpy")}
    libraries = {name: version(name) for name in ("pandas", "scikit-learn", "numpy", "cloudpickle")}
    bento, lit, mlserver = (
        _environment(work, name, packages, libraries)
        for name, packages in (
            ("bentoml", ["bentoml==1.4.40"]),
            ("litserve", ["litserve==0.2.19"]),
            ("mlserver", ["mlserver==1.7.1", "mlserver-mlflow==1.7.1"]),
        )
    )

    def ours(port: int) -> list[str]:
        where = ["--deployment", str(release.deployment), "--store", release.store]
        return [python, "-m", "ml", "serve", *where, "--port", str(port)]

    def mlflow(port: int) -> list[str]:
        where = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        return [str(Path(python).with_name("mlflow")), "models", "serve", "--model-uri", model, *where]

    def own_script(interpreter: str, script: str) -> Callable[[int], list[str]]:
        return lambda port: [interpreter, str(HERE / script), str(port), model]

    return [
        Contender(
            OURS, ours, "/predict", lambda rows: rows[0] if len(rows) == 1 else {"rows": rows}, _of_ours, own
        ),
        Contender(ECHO, lambda port: [python, "-m", "benchmarks.serving.serve_echo", str(port)], "/predict",
                  lambda rows: rows[0] if len(rows) == 1 else {"rows": rows}, None, own),
        Contender(MLFLOW, mlflow, "/invocations", _records, _of_mlflow, {"mlflow": version("mlflow")} | libraries),
        Contender("BentoML", own_script(bento, "serve_bentoml.py"), "/predict", lambda rows: {"rows": rows},
                  lambda answer: answer, _installed(bento, "bentoml") | libraries),
        Contender("LitServe", own_script(lit, "serve_litserve.py"), "/predict", lambda rows: {"rows": rows},
                  lambda answer: answer["scores"], _installed(lit, "litserve") | libraries),
        Contender("MLServer", own_script(mlserver, "serve_mlserver.py"), "/invocations", _records, _of_mlflow,
                  _installed(mlserver, "mlserver", "mlserver-mlflow", "mlflow") | libraries),
    ]  # fmt: skip


def _records(rows: Rows) -> Any:
    return {"dataframe_records": rows}


def _of_ours(answer: Any) -> list[float]:
    return [prediction["score"] for prediction in answer["predictions"]]


def _of_mlflow(answer: Any) -> list[float]:
    return [row[1] for row in answer["predictions"]]


def _environment(work: Path, name: str, packages: list[str], libraries: dict[str, str]) -> str:
    """The interpreter of an environment with these packages and the versions that the model was trained with."""
    folder = work / f"environment-{name}"
    python = folder / "bin" / "python"
    done = folder / "made"
    if not done.exists():
        wanted = [*packages, *(f"{library}=={number}" for library, number in libraries.items())]
        subprocess.run(["uv", "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = ["uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *wanted]
        subprocess.run(install, check=True, env=os.environ | {"VIRTUAL_ENV": ""})
        done.touch()
    return str(python)


def _installed(python: str, *packages: str) -> dict[str, str]:
    code = "import json, sys, importlib.metadata as m; print(json.dumps({p: m.version(p) for p in sys.argv[1:]}))"
    asked = subprocess.run([python, "-c", code, *packages], capture_output=True, check=True)
    return json.loads(asked.stdout)
