"""Train a challenger when it is time to: once, gated as every release, and compared with the champion."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from ml.bundle.bundle import read_manifest
from ml.errors import InputRefused, ReleaseRefused
from ml.feedback.label_quality import Believed, believed
from ml.feedback.labels import ALWAYS, REVIEW, joined
from ml.feedback.lease import LEASE_S, Result, Run, begin, last_training
from ml.feedback.requests import last_asked_at
from ml.feedback.triggers import Standing, Verdict, decide, read_alerts
from ml.problem import Problem
from ml.runtime import Runtime
from ml.store import Store
from ml.trust.people import current_name

if TYPE_CHECKING:
    from ml.bundle.evaluation import ChampionComparison

__all__ = ["Retrained", "judge", "retrain"]

FIRST_ENVIRONMENT: Final = "dev"  # where every release begins; the others are reached by promotion alone

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Retrained:
    """What became of a call: why or why not, and the run it made, if any, with the MLflow run of its challenger, and
    how that compares with the champion."""

    verdict: Verdict
    run: int | None = None
    release: str | None = None
    tracking_run: str | None = None
    comparison: "ChampionComparison | None" = None


def judge(
    problem: Problem, runtime: Runtime, now: datetime, trusted: str | None = None
) -> tuple[Verdict, pl.DataFrame]:
    """Whether a challenger is due in an environment, and the labelled predictions that may be learned from.

    Labels that contradict the champion are left out, unless a person says why they are right: `trusted`.
    """
    if runtime.release is None:
        raise InputRefused(
            f"The stack {runtime.stack} serves nothing, so there is no champion to challenge. "
            "Run `mlops train` and `mlops release` first."
        )
    store = Store(runtime.store_uri)
    made_at = read_manifest(store, runtime.release).created_at
    found = believed(problem, everything := pl.DataFrame(joined(store, problem, *ALWAYS)))
    if trusted:
        found = Believed(everything, found.doubts)
    labelled = found.labelled
    last = last_training(store)
    standing = Standing(
        champion=runtime.release,
        made_at=made_at,
        new_labels=len(labelled.filter(pl.col("label_arrived_at") > made_at)),
        comparable=len(labelled.filter(pl.col("label_source") != REVIEW)),
        last_run_at=last.at if last else None,
        asked_at=last_asked_at(store),
        alerts=read_alerts(store),
        doubts=found.doubts,
        trusted=trusted,
    )
    return decide(problem, standing, now), labelled


def retrain(
    problem: Problem,
    source: Runtime,
    target: Runtime,
    root: Path,
    progress: Progress,
    *,
    trusted: str | None = None,
    lease_s: float = LEASE_S,
) -> Retrained:
    """Train a challenger to the champion of `source` if it is due, and make it a release candidate of `target`.

    Labels that contradict the champion are learned from only for a reason, `trusted`, which is recorded. Nothing is
    pinned. Busy when a run is under way; ReleaseRefused, recorded, when the challenger fails a gate.
    """
    if target.environment != FIRST_ENVIRONMENT:
        raise InputRefused(
            f"A retraining ends as a release candidate in {FIRST_ENVIRONMENT}, from where it is promoted, never in "
            f"{target.environment} itself. Name the stack with --to, like --to local-dev."
        )
    verdict, _ = judge(problem, source, datetime.now(UTC), trusted)
    if not verdict.is_due:
        return Retrained(verdict)
    with begin(Store(source.store_uri), lease_s) as run:
        # Again, now that nobody else can: another run may have ended since.
        verdict, labelled = judge(problem, source, datetime.now(UTC), trusted)
        if not verdict.is_due:
            run.finish(Result(outcome="not-due", at=datetime.now(UTC)))
            return Retrained(verdict)
        progress(f"Run {run.number}: {'; '.join(t.says for t in verdict.triggers if t.holds)}")
        digest, tracking_run, comparison = _train(problem, source, target, root, progress, run, labelled, verdict)
    return Retrained(verdict, run.number, digest, tracking_run, comparison)


def _train(
    problem: Problem,
    source: Runtime,
    target: Runtime,
    root: Path,
    progress: Progress,
    run: Run,
    labelled: pl.DataFrame,
    verdict: Verdict,
) -> "tuple[str, str, ChampionComparison | None]":
    """The release candidate's digest, its MLflow run, and how it compares with the champion."""
    progress("Loading the training libraries")
    from ml.feedback.challenger import challenge, said
    from ml.release.release import release
    from ml.training.train import train

    store, champion = Store(source.store_uri), str(source.release)
    live, comparing = challenge(problem, store, champion, labelled, progress, verdict.trusted)
    trained = train(problem, target, root, progress, live=live.older, against_champion=comparing)
    comparison = trained.trained.evaluation.champion
    for line in said(comparison) if comparison else ():
        progress(line)
    run.require_held()
    details: dict[str, Any] = {
        "champion": champion,
        "stack": source.stack,
        "released_to": target.stack,
        "because": [trigger.kind for trigger in verdict.triggers if trigger.holds],
        "live_rows": len(live.older.frame),
        "compared_rows": len(live.newest),
        "unusable_rows": live.unusable,
        "tracking_run": trained.run_id,
        "comparison": comparison.model_dump(mode="json") if comparison else None,
        "doubts": list(verdict.doubts),
        "trusted": {"reason": verdict.trusted, "by": current_name()} if verdict.doubts and verdict.trusted else None,
    }
    try:
        released = release(problem, target, trained.run_id, progress)
    except ReleaseRefused as refused:
        run.finish(Result(outcome="refused", at=datetime.now(UTC), details=details | {"says": str(refused)}))
        raise
    run.finish(Result(outcome="candidate", at=datetime.now(UTC), release=released.digest, details=details))
    return released.digest, trained.run_id, comparison
