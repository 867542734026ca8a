"""From cleaned data to a chosen, evaluated candidate; nothing is written."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ml.bundle.evaluation import SCORE_COLUMN, ChampionComparison, Evaluation
from ml.bundle.manifest import Gate
from ml.data.clean import clean
from ml.data.quality import check, require
from ml.data.read import Dataset, ingest
from ml.data.split import split
from ml.errors import InputRefused
from ml.problem import Problem
from ml.store import Store
from ml.training.candidates import BASELINE, Candidate, best_learner, fit_candidates, scores_of
from ml.training.evaluate import evaluate
from ml.training.features import inputs, positives
from ml.training.gates import judge
from ml.training.latency import measure_latency

__all__ = ["Comparing", "Prepared", "Trained", "fit", "prepare"]

Progress = Callable[[str], None]
Comparing = Callable[[Candidate], ChampionComparison]


@dataclass(frozen=True)
class Prepared:
    """The cleaned rows of each part, and the files that they come from by role."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    files: dict[str, Dataset]

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each file, by the dataset's name."""
        return {file.name: file.digest for file in self.files.values()}


@dataclass(frozen=True)
class Trained:
    """What a training found; `test_scores` are of the chosen candidate and the baseline, by name.

    `gates` is a preview, with the latency of the model as it is now: the release judges again.
    """

    candidates: tuple[Candidate, ...]
    chosen: Candidate
    baseline: Candidate
    test_scores: dict[str, NDArray[np.float64]]
    evaluation: Evaluation
    gates: tuple[Gate, ...]


def prepare(problem: Problem, store: Store, root: Path, progress: Progress, live: Dataset | None = None) -> Prepared:
    """Read, check, clean and split the files of the training and the test set; `live` rows join the training set."""
    progress(f"Reading and checking {problem.split.train} to train on and {problem.split.test} to test on")
    files = {
        "training": ingest(problem, problem.split.train, store, root),
        "testing": ingest(problem, problem.split.test, store, root),
    }
    training = clean(problem, files["training"].frame)
    if live is not None:
        progress(f"{len(live.frame):,} labelled live rows join the training set")
        files["live"] = live
        training = _joined(problem, training, live.frame)
    train, validation = split(problem, training)
    test = clean(problem, files["testing"].frame)
    for name, part in (("training", train), ("validation", validation), ("test", test)):
        require(check(problem, inputs(problem, part), "features", f"the features of the {name} rows"))
        _require_both_classes(problem, part, name)
    progress(f"{len(train):,} rows to train, {len(validation):,} to choose by, {len(test):,} to test")
    return Prepared(train, validation, test, files)


@threadpool_limits.wrap(limits=1)
def fit(
    problem: Problem, data: Prepared, root: Path, progress: Progress, against_champion: Comparing | None = None
) -> Trained:
    """Fit the candidates, choose on the validation rows, and evaluate the choice on the test rows, once.

    `against_champion` compares the choice with the release that serves; the gates then judge that too.
    """
    candidates = fit_candidates(problem, data.train, data.validation, progress)
    chosen = best_learner(candidates)
    baseline = next(c for c in candidates if c.name == BASELINE)
    features = inputs(problem, data.test)
    scores = {c.name: scores_of(c.model, features) for c in (chosen, baseline)}
    scored = features.assign(**{SCORE_COLUMN: scores[chosen.name]})
    require(check(problem, scored, "predictions", f"the predictions of {chosen.name}"))
    progress(f"Evaluating {chosen.name} on {problem.split.test}")
    evaluation = evaluate(
        problem, chosen, baseline, scores=scores, train=data.train, test=data.test, data=data.digests, root=root
    )
    if against_champion is not None:
        evaluation = evaluation.model_copy(update={"champion": against_champion(chosen)})
    latency = measure_latency(chosen.model.predict_proba, features, problem.gates.latency)
    gates = judge(problem, evaluation, latency, datetime.now(UTC).date())
    return Trained(candidates, chosen, baseline, scores, evaluation, gates)


def _require_both_classes(problem: Problem, part: pd.DataFrame, name: str) -> None:
    """One class alone neither trains a model nor shows what it does; whether there are enough of each, gates say."""
    found = int(positives(problem, part).sum())
    if not 0 < found < len(part):
        raise InputRefused(
            f"Of the {len(part):,} {name} rows {found:,} are positive: both classes are needed. "
            f"Is the right file under datasets, and is target.positive ({problem.target.positive}) the right code?"
        )


def _joined(problem: Problem, training: pd.DataFrame, live: pd.DataFrame) -> pd.DataFrame:
    """Both, cleaned and checked as one; the live rows' identifiers are moved behind those of the file."""
    behind = int(training[problem.identifier].max()) + 1
    moved = live.assign(**{problem.identifier: live[problem.identifier] + behind})
    return clean(problem, pd.concat([training, moved], ignore_index=True))
