"""A release as training leaves it, on a server that every platform's protocol is asked of."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml.problem import Problem
from ml.release.build import build
from ml.store import Store
from tests.conftest import origin, publish_signed, rows_of, write_candidate
from tests.processes import Process, server, state
from tests.protocols import VERTEX

PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Served:
    """A running server, and the bundle that it serves."""

    process: Process
    bundle: Path
    release: str
    problem: Problem
    store: Store

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.process.port}"

    def rows(self, count: int) -> list[dict[str, Any]]:
        """Valid rows as JSON has them."""
        frame = rows_of(self.problem, count, seed=7)
        return [{str(name): int(value) for name, value in row.items()} for row in frame.to_dict("records")]

    def post(self, path: str, body: bytes, content_type: str = "application/json", **headers: str) -> tuple[int, bytes]:
        return self.process.ask("POST", path, body, {"content-type": content_type} | headers)


@contextlib.contextmanager
def served(folder: Path, problem: Problem, *options: str) -> Iterator[Served]:
    """Train, release and serve a small gradient boosting, which is what the project's own models are."""
    write_mlflow_candidate(folder / "candidate", problem)
    build(folder / "candidate", folder / "bundle", problem, origin())
    store = Store((folder / "store").as_uri())
    release = publish_signed(store, folder / "bundle")
    state(folder, release)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in VERTEX.items():
            patch.setenv(name, value)
        with server(folder, store, *options) as process:
            process.wait_for(lambda: process.ask("GET", "/ready")[0] == 200)
            yield Served(process, folder / "bundle", release, problem, store)


def write_mlflow_candidate(folder: Path, problem: Problem) -> None:
    """A candidate whose model is saved by MLflow, as training does it: with signature, requirements and example."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    from ml.training.folder import save_model

    write_candidate(folder, problem)
    rows = rows_of(problem, 1000)
    labels = (rows.sum(axis=1) > rows.sum(axis=1).median()).astype(int)
    model = HistGradientBoostingClassifier(max_iter=20, random_state=1).fit(rows, labels)
    shutil.rmtree(folder / "model")
    save_model(problem, model, folder / "model")


def uv() -> str:
    """The uv that the Makefile brings, or the one on PATH."""
    pinned = re.search(r"^UV_VERSION := (.+)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert pinned
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = cache / "mlops-reference" / f"uv-{pinned[1]}" / "bin" / "uv"
    return str(found) if found.exists() else shutil.which("uv") or pytest.fail(f"there is no {found}: run `make test`")
