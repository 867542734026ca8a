"""Who is compared: how each is started, asked and read. All serve the same scikit-learn pipeline or its release."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.serving.release import Release

HERE = Path(__file__).parent
OURS = "this project"
ECHO = "echo on the same server"
MLFLOW = "mlflow models serve"
ASGI = "msgspec on uvicorn, compiled"
FASTAPI = "FastAPI, compiled"
PEERS = (ASGI, FASTAPI)  # whose model is compiled too
Rows = list[dict[str, int]]


@dataclass(frozen=True)
class Contender:
    """A server: the command that starts it on a port, its path, a request of rows, and the scores in an answer.

    `key` is what it is called on the command line.
    """

    key: str
    name: str
    command: Callable[[int], list[str]]
    path: str
    body: Callable[[Rows], Any]
    scores: Callable[[Any], list[float]] | None
    versions: dict[str, str]


KEYS = ("ours", "echo", "asgi", "fastapi", "mlflow", "bentoml", "litserve", "mlserver")
TL2CGEN = "tl2cgen==1.0.0"
PACKAGES = {
    "BentoML": ("bentoml==1.4.40",),
    "LitServe": ("litserve==0.2.19",),
    # Its workers end at once with uvloop 0.22 and later, which makes no event loop where there is none.
    "MLServer": ("mlserver==1.7.1", "mlserver-mlflow==1.7.1", "uvloop<0.22"),
}


def contenders(release: Release, work: Path, *, only: Collection[str] = KEYS) -> tuple[list[Contender], dict[str, str]]:
    """Those of the contenders whose key is in `only`; what we have not installed gets an environment in `work`.

    Also whose environment could not be made, and why.
    """
    failed: dict[str, str] = {}
    found: list[Contender] = []
    for key in [key for key in KEYS if key in only]:
        try:
            found.append(_made(key, release, work))
        except (OSError, subprocess.CalledProcessError) as error:
            failed[key] = f"its environment could not be made: {error}"
    return found, failed


def _made(key: str, release: Release, work: Path) -> Contender:
    if key in ("asgi", "fastapi"):
        return _peer(key, release, work)
    if key in ("bentoml", "litserve", "mlserver"):
        return _rival({name.lower(): name for name in PACKAGES}[key], release, work)
    return {"ours": _own, "echo": _echo, "mlflow": _mlflow}[key](release)


def _own(release: Release) -> Contender:
    # Spools go to the store more often than by default, so that this happens while it is measured.
    where = ["--deployment", str(release.deployment), "--store", release.store, "--rotate-interval-s", "10"]
    command = [sys.executable, "-m", "ml", "serve", *where, "--port"]
    return Contender("ours", OURS, lambda port: [*command, str(port)], "/predict", _native, _of_ours, _stack())


def _echo(_release: Release) -> Contender:
    command = [sys.executable, "-m", "benchmarks.serving.serve_echo"]
    return Contender("echo", ECHO, lambda port: [*command, str(port)], "/predict", _native, None, _stack())


def _mlflow(release: Release) -> Contender:
    def command(port: int) -> list[str]:
        where = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        program = str(Path(sys.executable).with_name("mlflow"))
        return [program, "models", "serve", "--model-uri", str(release.bundle / "model"), *where]

    versions = {"mlflow": version("mlflow")} | _libraries()
    return Contender("mlflow", MLFLOW, command, "/invocations", _records, _of_mlflow, versions)


def _peer(key: str, release: Release, work: Path) -> Contender:
    """A server of a few lines on the same web server, whose trees are compiled to machine code."""
    stack = {**_stack(), **{name: version(name) for name in ("treelite", "fastapi", "pydantic")}}
    packages = [f"{name}=={number}" for name, number in stack.items() if name != "numpy"]
    python = _environment(work, "compiled", (TL2CGEN, *packages), _libraries())
    model, library = release.bundle / "model", work / "trees.so"
    if not library.exists():
        subprocess.run([python, str(HERE / "compile_trees.py"), str(model), str(library)], check=True)
    given = [str(library), str(release.bundle / "schema.json"), str(release.manifest.decision_threshold)]
    command = [python, str(HERE / f"serve_{key}.py")]
    packages = (
        "uvicorn",
        "uvloop",
        "httptools",
        "tl2cgen",
        *(("msgspec",) if key == "asgi" else ("fastapi", "pydantic")),
    )
    return Contender(
        key,
        ASGI if key == "asgi" else FASTAPI,
        lambda port: [*command, str(port), *given],
        "/predict",
        lambda rows: {"rows": rows},
        _of_ours,
        _installed(python, *packages, "numpy"),
    )


def _rival(name: str, release: Release, work: Path) -> Contender:
    packages = PACKAGES[name]
    python = _environment(work, name.lower(), packages, _libraries())
    script, model = str(HERE / f"serve_{name.lower()}.py"), str(release.bundle / "model")
    path, body, scores = {
        "BentoML": ("/predict", lambda rows: {"rows": rows}, lambda answer: answer),
        "LitServe": ("/predict", lambda rows: {"rows": rows}, lambda answer: answer["scores"]),
        "MLServer": ("/invocations", _records, _of_mlflow),
    }[name]
    names = [re.split("[=<]", package)[0] for package in packages]
    versions = _installed(python, *names) | _libraries()
    return Contender(name.lower(), name, lambda port: [python, script, str(port), model], path, body, scores, versions)


def _stack() -> dict[str, str]:
    return {name: version(name) for name in ("uvicorn", "uvloop", "httptools", "msgspec", "numpy")}


def _libraries() -> dict[str, str]:
    return {name: version(name) for name in ("pandas", "scikit-learn", "numpy", "cloudpickle")}


def _native(rows: Rows) -> Any:
    return rows[0] if len(rows) == 1 else {"rows": rows}


def _records(rows: Rows) -> Any:
    return {"dataframe_records": rows}


def _of_ours(answer: Any) -> list[float]:
    return [prediction["score"] for prediction in answer["predictions"]]


def _of_mlflow(answer: Any) -> list[float]:
    return [row[1] for row in answer["predictions"]]


def _environment(work: Path, name: str, packages: tuple[str, ...], libraries: dict[str, str]) -> str:
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
