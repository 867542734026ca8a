"""Live traffic for tests: predictions as the server logs them."""

import json
import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.predictions import log_schema, partition
from ml.problem import Categorical, Problem
from ml.serving.log.spool import MISSING, Frame
from ml.store import Store

RELEASE = f"sha256:{'a' * 64}"


def log_rows(
    problem: Problem,
    count: int,
    at: datetime,
    *,
    seed: int = 1,
    prefix: str = "r",
    release: str = RELEASE,
    threshold: float = 0.6667,
    **columns: Any,
) -> list[dict[str, Any]]:
    """Valid predictions, one a second from `at` on; `columns` replaces a column, by one value or one per row."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        features = {
            f.name: int(random.choice(list(f.codes)))
            if isinstance(f, Categorical)
            else int(random.integers(f.minimum, f.maximum, endpoint=True))
            for f in problem.features
        }
        score = float(random.random())
        row = {
            "prediction_id": f"{prefix}-{number}",
            "subject": None,
            "at": at + timedelta(seconds=number),
            "release": release,
            "role": "champion",
            **features,
            "score": score,
            "threshold": threshold,
            "reasons": None,
        }
        row |= {name: value[number] if isinstance(value, list) else value for name, value in columns.items()}
        row.setdefault("decision", int(row["score"] >= row["threshold"]))
        rows.append(row)
    return rows


def frame_of(problem: Problem, row: dict[str, Any]) -> Frame:
    """One row of `log_rows` as a server spools it."""
    values = [MISSING if row[name] is None else row[name] for name in problem.feature_names]
    return Frame(
        row["release"],
        row["role"],
        row["threshold"],
        [row["prediction_id"]],
        np.array([round(row["at"].timestamp() * 1e6)], "<i8").tobytes(),
        np.array(values, "<i4").tobytes(),
        np.array([row["score"]], "<f8").tobytes(),
        np.array([row["decision"]], "i1").tobytes(),
        [row["subject"]],
        [row["reasons"]],
    )


def write_log(store: Store, problem: Problem, rows: list[dict[str, Any]]) -> list[str]:
    """Log the rows, an object for each day and release; the prediction ids, in order."""
    groups: dict[tuple[Any, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["at"].date(), row["release"]), []).append(row)
    for (day, release), part in groups.items():
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(part, log_schema(problem)), sink)
        store.write(f"{partition(day, release)}/{uuid.uuid4()}.parquet", sink.getvalue().to_pybytes())
    return [row["prediction_id"] for row in rows]


def labels_file(folder: Path, labels: dict[str, Any], name: str = "labels.csv") -> Path:
    """A CSV file with those labels."""
    file = folder / name
    file.write_text("\n".join(["prediction_id,label", *(f"{key},{value}" for key, value in labels.items())]) + "\n")
    return file


def reasons_json(**contributions: float) -> str:
    """What the server logs as the reasons of a prediction."""
    return json.dumps([{"feature": name, "contribution": value} for name, value in contributions.items()])


def runtime_json(store: Store, **outputs: Any) -> str:
    """The outputs of a stack with that store, as MLOPS_RUNTIME has them."""
    nowhere = "http://127.0.0.1:1"
    return json.dumps(
        {
            "stack": "local-dev",
            "cloud": "local",
            "platform": "process",
            "environment": "dev",
            "store_uri": store.uri,
            "tracking_uri": nowhere,
            "monitor_url": nowhere,
            **outputs,
        }
    )


@contextmanager
def review_page(store: Store) -> Iterator[str]:
    """`mlops review serve` as a process on a free port; its URL."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ml", "review", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment | {"MLOPS_RUNTIME": runtime_json(store)},
    )
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"Listening on (http://[\d.]+:\d+)", line):
                threading.Thread(target=said.extend, args=(process.stderr,), daemon=True).start()
                yield found.group(1)
                break
        else:
            raise AssertionError(f"it did not listen: {''.join(said)}")
    finally:
        process.terminate()
        process.wait(timeout=30)
