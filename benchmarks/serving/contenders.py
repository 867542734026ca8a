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


PACKAGES = {
    "BentoML": ("bentoml==1.4.40",),
    "LitServe": ("litserve==0.2.19",),
    # Its workers end at once with uvloop 0.22 and later, which makes no event loop where there is none.
    "MLServer": ("mlserver==1.7.1", "mlserver-mlflow==1.7.1", "uvloop<0.22"),
}


def contenders(release: Release, work: Path, *, only: Collection[str] = ()) -> tuple[list[Contender], dict[str, str]]:
    """Every contender, or `only` some; those of other projects get an environment of their own in `work`.

    Also whose environment could not be made, and why.
    """
    failed: dict[str, str] = {}
    found = [_own(release), _echo(), _mlflow(release)]
    for name, packages in PACKAGES.items():
        if only and name not in only:
            continue
        try:
            found.append(_rival(name, packages, release, work))
        except (OSError, subprocess.CalledProcessError) as error:
            failed[name] = f"its environment could not be made: {error}"
    return [contender for contender in found if not only or contender.name in only], failed


def _own(release: Release) -> Contender:
    # Spools go to the store more often than by default, so that this happens while it is measured.
    where = ["--deployment", str(release.deployment), "--store", release.store, "--rotate-interval-s", "10"]
    command = [sys.executable, "-m", "ml", "serve", *where, "--port"]
    return Contender(OURS, lambda port: [*command, str(port)], "/predict", _native, _of_ours, _stack())


def _echo() -> Contender:
    command = [sys.executable, "-m", "benchmarks.serving.serve_echo"]
    return Contender(ECHO, lambda port: [*command, str(port)], "/predict", _native, None, _stack())


def _mlflow(release: Release) -> Contender:
    def command(port: int) -> list[str]:
        where = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        program = str(Path(sys.executable).with_name("mlflow"))
        return [program, "models", "serve", "--model-uri", str(release.bundle / "model"), *where]

    versions = {"mlflow": version("mlflow")} | _libraries()
    return Contender(MLFLOW, command, "/invocations", _records, _of_mlflow, versions)


def _rival(name: str, packages: tuple[str, ...], release: Release, work: Path) -> Contender:
    python = _environment(work, name.lower(), packages, _libraries())
    script, model = str(HERE / f"serve_{name.lower()}.py"), str(release.bundle / "model")
    path, body, scores = {
        "BentoML": ("/predict", lambda rows: {"rows": rows}, lambda answer: answer),
        "LitServe": ("/predict", lambda rows: {"rows": rows}, lambda answer: answer["scores"]),
        "MLServer": ("/invocations", _records, _of_mlflow),
    }[name]
    names = [re.split("[=<]", package)[0] for package in packages]
    versions = _installed(python, *names) | _libraries()
    return Contender(name, lambda port: [python, script, str(port), model], path, body, scores, versions)


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
