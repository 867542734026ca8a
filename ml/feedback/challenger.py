"""What a challenger learns from and is measured on: the labelled live rows, older ones to train, the newest to compare.

Live rows are added to the original training set, they don't replace it: at first they are few, and those that experts
labelled were picked because the model doubted them. The older ones join the training. The newest are never trained on:
champion and challenger both score them, and only rows whose label did not come from a review count there, for a sample
of doubtful cases says little about all others.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from ml.bundle.bundle import fetch
from ml.bundle.evaluation import ChampionComparison
from ml.bundle.manifest import MetricResult
from ml.bundle.schema import SCHEMA_FILE, BundleSchema
from ml.data.conditions import meets
from ml.data.read import Dataset
from ml.errors import InputRefused
from ml.feedback.label_quality import believed
from ml.feedback.labels import ALWAYS, REVIEW, joined
from ml.model.scorer import load_scorer
from ml.predictions import PREFIX as PREDICTIONS
from ml.problem import Problem
from ml.runtime import Runtime
from ml.scratch import scratch_folder
from ml.store import Store
from ml.training.candidates import Candidate, scores_of
from ml.training.evaluate import compared
from ml.training.features import inputs, positives
from ml.training.fit import Comparing
from ml.training.metrics import ScoredRows
from ml.training.reason import is_challenge
from ml.trust.keys import TrustedKeys
from ml.trust.signing import verify_signature

__all__ = ["Live", "against", "asked_for", "challenge", "live_rows", "said"]

NAME: Final = "live"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Live:
    """Labelled live rows as raw data files have them: `older` to train on, `newest` to compare on.

    `newest` were predicted in [`since`, `until`]. `unusable` rows lack a feature or are outside the population.
    """

    older: Dataset
    newest: pd.DataFrame
    since: datetime
    until: datetime
    unusable: int


def asked_for(
    reason: str, problem: Problem, runtime: Runtime, progress: Progress
) -> tuple[Dataset, Comparing] | tuple[None, None]:
    """What a job with this reason learns from beside the datasets, and its comparison with the champion.

    Nothing unless the monitor asked, who has seen that there are enough rows. InputRefused where no release is pinned.
    """
    if not is_challenge(reason):
        return None, None
    if runtime.release is None:
        raise InputRefused(f"The stack {runtime.stack} serves nothing, so there is no champion to challenge.")
    store = Store(runtime.store_uri)
    found = believed(problem, pl.DataFrame(joined(store, problem, *ALWAYS)))
    for doubt in found.doubts:
        progress(f"Left out: {doubt}")
    live, comparing = challenge(problem, store, runtime.release, found.labelled, progress)
    return live.older, comparing


def challenge(
    problem: Problem,
    store: Store,
    champion: str,
    labelled: pl.DataFrame,
    progress: Progress,
    trusted: str | None = None,
) -> tuple[Live, Comparing]:
    """The labelled live rows, split, and the comparison with the champion: its outcome is one of the gates.

    `trusted` is why labels that contradict the champion are among them, for the record.
    """
    live = live_rows(problem, store, labelled)
    progress(f"{len(live.older.frame):,} live rows to train on, {len(live.newest):,} newer ones to compare on")
    return live, partial(against, problem, store, champion, live, trusted=trusted)


def live_rows(problem: Problem, store: Store, labelled: pl.DataFrame) -> Live:
    """Split what `ml.feedback.labels.joined` gives; InputRefused where the log keeps too little to learn from."""
    coarse = problem.prediction_log.coarse
    if coarse:
        raise InputRefused(
            f"The prediction log doesn't keep {', '.join(coarse)} as the model sees it, so none can learn from it. "
            "Say `logged: exact` under prediction_log in the problem definition, or train on data files alone."
        )
    required = [feature.name for feature in problem.features if not feature.nullable]
    usable = labelled.drop_nulls(required).sort("at", "prediction_id")
    usable = usable.filter(pl.Series(meets(_raw(problem, usable), problem.population).to_numpy(), dtype=pl.Boolean))
    fair = usable.filter(pl.col("label_source") != REVIEW)
    if fair.is_empty():
        raise InputRefused("No labelled prediction came with a label from a file or the API: nothing to compare on.")
    cut = fair["at"][int(len(fair) * (1 - problem.retraining.comparison_fraction))]
    newest = fair.filter(pl.col("at") >= cut)
    older = usable.filter(pl.col("at") < cut)
    if older.is_empty():
        raise InputRefused("All labelled predictions are of one moment: none is older than those to compare on.")
    return Live(
        older=Dataset(NAME, _raw(problem, older), _digest(problem, older), store.url(PREDICTIONS)),
        newest=_raw(problem, newest),
        since=cut,
        until=newest["at"][-1],
        unusable=len(labelled) - len(usable),
    )


def against(
    problem: Problem, store: Store, champion: str, live: Live, challenger: Candidate, *, trusted: str | None = None
) -> ChampionComparison:
    """Score the newest rows with both; ReleaseRefused when the champion's bytes or signature don't hold."""
    positive = positives(problem, live.newest)
    threshold, theirs = _champion_scores(problem, store, champion, live.newest)
    ours = scores_of(challenger.model, inputs(problem, live.newest))
    return ChampionComparison(
        release=champion,
        rows=len(live.newest),
        positives=int(positive.sum()),
        since=live.since,
        until=live.until,
        labels_trusted=trusted,
        metrics=compared(
            problem,
            ScoredRows(positive, ours, challenger.threshold.chosen, problem.costs),
            ScoredRows(positive, theirs, threshold, problem.costs),
        ),
    )


def said(comparison: ChampionComparison) -> list[str]:
    """The comparison in lines: each metric of the challenger, of the champion, and between which bounds they differ."""
    head = (
        f"Compared with the champion on {comparison.rows:,} predictions of {comparison.since:%Y-%m-%d %H:%M} to "
        f"{comparison.until:%Y-%m-%d %H:%M} UTC that neither was trained on"
    )
    return [head, *(_line(metric) for metric in comparison.metrics)]


def _line(metric: MetricResult) -> str:
    if metric.value is None or metric.baseline is None:
        return f"  {metric.name:<18}not judged: the rows don't define it"
    between = (
        f", between {metric.difference_low:+.4f} and {metric.difference_high:+.4f}"
        if metric.difference_low is not None and metric.difference_high is not None
        else ""
    )
    difference = metric.value - metric.baseline
    return f"  {metric.name:<18}{metric.value:.4f}, champion {metric.baseline:.4f}: {difference:+.4f}{between}"


def _champion_scores(
    problem: Problem, store: Store, champion: str, rows: pd.DataFrame
) -> tuple[float, NDArray[np.float64]]:
    """Its threshold and its scores, by the release itself: the log may hold answers of others."""
    verify_signature(store, champion, TrustedKeys.of(store))  # loading a model runs what is in it
    with scratch_folder() as scratch:
        folder = scratch / "champion"
        manifest = fetch(store, champion, folder)
        schema = BundleSchema.parse((folder / SCHEMA_FILE).read_bytes())
        columns = [feature.name for feature in schema.features]
        scores = load_scorer(folder, schema).score(rows[columns].to_numpy(dtype=np.float64))
    return manifest.decision_threshold, scores


def _raw(problem: Problem, rows: pl.DataFrame) -> pd.DataFrame:
    """The columns of a raw data file; identifiers count from 0 in order of time."""
    columns = {name: rows[name].cast(pl.Float64).to_numpy() for name in problem.feature_names}
    frame = pd.DataFrame(columns)
    exact = [feature.name for feature in problem.features if not feature.nullable]
    return (
        frame.astype(dict.fromkeys(exact, "int64"))
        .assign(
            **{
                problem.identifier: np.arange(len(rows)),
                problem.time: rows["at"].dt.year().to_numpy().astype("int64"),
                problem.target.column: rows["label"].to_numpy().astype("int64"),
            }
        )
        .loc[:, problem.columns]
    )


def _digest(problem: Problem, rows: pl.DataFrame) -> str:
    """The SHA-256 of the rows' CSV: it says what was learned from without a copy that erasure would not reach."""
    text = rows.select("prediction_id", *problem.feature_names, "label").write_csv()
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
