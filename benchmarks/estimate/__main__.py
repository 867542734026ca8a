"""How often the measured performance lies in the interval that was estimated before any label came.

`python -m benchmarks.estimate` trains the reference model on 2015, takes its calibration error from 2016 as a release
does, and looks at windows of 2016 and 2017: drawn at random, of each protected group, and of the shifted population.
Of 2016 the calibration error is known, of 2017 it is carried over. Some minutes on two cores.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ml.data.clean import clean
from ml.data.conditions import meets
from ml.data.read import ingest
from ml.monitoring.estimate import estimate_performance, realised_performance
from ml.problem import Categorical, Problem, load_problem
from ml.store import Store
from ml.training.candidates import best_learner, fit_candidates, scores_of
from ml.training.features import inputs, positives
from ml.training.fit import prepare
from ml.training.metrics import ScoredRows

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("results.json")
SIZES = (1_000, 5_000, 20_000)
DRAWS = 200
SMALLEST_GROUP = 500
METRICS = ("accuracy", "roc_auc", "expected_cost")


def windows(problem: Problem, frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each window's kind and rows."""
    for size in SIZES:
        for draw in range(DRAWS):
            yield f"{size:,} rows at random", frame.sample(size, random_state=draw)
    yield "the whole year", frame
    for attribute in problem.protected:
        feature = next(f for f in problem.features if f.name == attribute.column)
        if attribute.bands:
            groups = [
                frame[attribute.column].between(a, b - 1)
                for a, b in zip(attribute.bands, attribute.bands[1:], strict=False)
            ]
        else:
            assert isinstance(feature, Categorical)
            groups = [frame[attribute.column] == code for code in feature.codes]
        for group in groups:
            if group.sum() >= SMALLEST_GROUP:
                yield "a protected group", frame[group]
    yield "the shifted population", frame[meets(frame, problem.split.shifted.when)]


def main() -> None:
    """Measure, print a table and keep the figures beside this file."""
    problem = load_problem()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder).as_uri())
        data = prepare(problem, store, ROOT, print)
        chosen = best_learner(fit_candidates(problem, data.train, data.validation, print))
        live = clean(problem, ingest(problem, problem.split.live, store, ROOT).frame)
    years = {problem.split.test: data.test, problem.split.live: live}
    scored = {
        year: frame.reset_index(drop=True).assign(
            score=scores_of(chosen.model, inputs(problem, frame)), positive=np.asarray(positives(problem, frame))
        )
        for year, frame in years.items()
    }
    test = scored[problem.split.test]
    threshold = chosen.threshold.chosen
    measured = ScoredRows(test["positive"].to_numpy(), test["score"].to_numpy(), threshold, problem.costs).values()
    error = float(measured["calibration_error"])
    inside: dict[str, dict[str, list[bool]]] = {}
    for year, frame in scored.items():
        for kind, rows in windows(problem, frame):
            for way, allowed in (("chance alone", 0.0), ("with calibration", error)):
                estimated = estimate_performance(
                    rows["score"], decision_threshold=threshold, costs=problem.costs, calibration_error=allowed
                )
                real = realised_performance(
                    rows["score"], rows["positive"], decision_threshold=threshold, costs=problem.costs
                )
                for guess, fact in zip(estimated, real, strict=True):
                    if guess.low is not None and guess.high is not None and fact.value is not None:
                        cell = inside.setdefault(f"{year}, {kind}, {fact.name}", {})
                        cell.setdefault(way, []).append(guess.low <= fact.value <= guess.high)
    result = {
        "calibration_error": error,
        "coverage": {
            name: {"windows": len(ways["chance alone"])} | {way: float(np.mean(hits)) for way, hits in ways.items()}
            for name, ways in inside.items()
        },
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
