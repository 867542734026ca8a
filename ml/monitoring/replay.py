"""Play a dataset as live traffic against an endpoint, and keep its truth aside for later."""

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import pandas as pd

from ml.data.clean import clean
from ml.data.conditions import meets
from ml.data.read import Dataset
from ml.errors import InputRefused, MlopsError
from ml.problem import Condition, Problem

__all__ = ["Played", "Replay", "play", "traffic"]

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Replay:
    """How to play: requests named `<name>-<number>` of `batch` rows, at most `rate` rows a second (None: no limit)."""

    name: str
    batch: int
    rate: float | None = None


@dataclass
class Played:
    """What became of a replay: rows answered, by release; requests that failed, by reason; the truth of the answered.

    `truth` has prediction_id and label, as `mlops labels add` takes it.
    """

    rows: int = 0
    seconds: float = 0.0
    releases: Counter[str] = field(default_factory=Counter[str])
    failures: Counter[str] = field(default_factory=Counter[str])
    truth: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])


def traffic(
    problem: Problem, dataset: Dataset, conditions: tuple[Condition, ...], rows: int | None, seed: int
) -> pd.DataFrame:
    """The dataset's rows in a random order that `seed` fixes: of the problem's population, those that meet
    `conditions`, at most `rows`. InputRefused when none is left.
    """
    frame = clean(problem, dataset.frame)
    if unknown := [c.column for c in conditions if c.column not in frame]:
        raise InputRefused(f"{unknown[0]} is no column of {dataset.name}; it has {', '.join(map(str, frame.columns))}.")
    frame = frame[meets(frame, conditions)]
    if frame.empty:
        raise InputRefused(f"No row of {dataset.name} meets the conditions.")
    return frame.sample(min(rows or len(frame), len(frame)), random_state=seed).reset_index(drop=True)


def play(
    endpoint: str, problem: Problem, frame: pd.DataFrame, dataset: str, replay: Replay, progress: Callable[[int], None]
) -> Played:
    """Send `frame` request by request, and count what comes back; a request that fails is counted and not repeated.

    Every row names its person `<dataset>-<identifier>`. MlopsError when already the first request gets no answer.
    """
    played, started = Played(), time.monotonic()
    for number, part in enumerate(_parts(frame, replay.batch)):
        request_id = f"{replay.name}-{number}"
        rows = json.loads(part[problem.feature_names].to_json(orient="records"))
        subjects = [f"{dataset}-{identifier}" for identifier in part[problem.identifier]]
        answer = _ask(endpoint, {"rows": rows, "subjects": subjects}, request_id)
        if isinstance(answer, str):
            if not played.rows:
                raise MlopsError(f"The endpoint {endpoint} did not take the first request: {answer}")
            played.failures[answer] += 1
        else:
            played.rows += len(part)
            played.releases[answer["release"]] += len(part)
            ids = [request_id] if len(part) == 1 else [f"{request_id}-{row}" for row in range(len(part))]
            played.truth += zip(ids, part[problem.target.column].tolist(), strict=True)
        progress(len(part))
        if replay.rate:
            sent = min((number + 1) * replay.batch, len(frame))
            time.sleep(max(0.0, sent / replay.rate - (time.monotonic() - started)))
    played.seconds = time.monotonic() - started
    return played


def _parts(frame: pd.DataFrame, size: int) -> Iterator[pd.DataFrame]:
    return (frame.iloc[start : start + size] for start in range(0, len(frame), size))


def _ask(endpoint: str, body: dict[str, Any], request_id: str) -> dict[str, Any] | str:
    """The answer, or why there is none."""
    request = urllib.request.Request(  # noqa: S310 # the operator's own endpoint
        f"{endpoint.rstrip('/')}/predict",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "X-Request-ID": request_id},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return f"status {error.code}: {error.read(300).decode(errors='replace')}"
    except (OSError, HTTPException, ValueError) as error:
        return str(error.reason if isinstance(error, urllib.error.URLError) else error) or type(error).__name__
