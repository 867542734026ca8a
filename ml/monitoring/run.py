"""One monitoring run: a window of the prediction log against what each release was released with."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from ml.monitoring.drift import DriftCalculator, DriftResult, DriftThresholds, alerts
from ml.monitoring.fairness import judge_fairness
from ml.monitoring.figures import Figures, draw
from ml.monitoring.metrics import exposition
from ml.monitoring.page import render
from ml.monitoring.performance import judge_performance
from ml.monitoring.profile import Profile, specs_of
from ml.monitoring.quality import judge_quality, judge_volume
from ml.monitoring.report import Drift, FeatureDrift, ReleaseFindings, Report, Volume, Window, write
from ml.monitoring.window import SCORE, Live, read_live, read_reference, window_of
from ml.problem import Problem
from ml.store import Store

__all__ = ["monitor_once"]

NAMED: Final = 3  # of the features that drifted, in a sentence
STATISTICS: Final = {
    "psi": "PSI",
    "jensen_shannon": "Jensen-Shannon",
    "kolmogorov_smirnov": "Kolmogorov-Smirnov",
    "cramers_v": "Cramér's V",
}


def monitor_once(
    store: Store,
    problem: Problem,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Report | None:
    """Look at the window, keep the report in the store, and return it; None where nothing was predicted.

    Every release that answered in the window is judged against its own reference, the present champion first.
    """
    window = window_of(problem, since, until, now)
    progress("Reading the prediction log and its labels")
    live = read_live(store, problem, window)
    if not live.releases:
        return None
    volume = judge_volume(live.rows.height, live.before.height, problem)
    found: list[tuple[ReleaseFindings, Figures]] = []
    for release in live.releases:
        progress(f"Comparing with the reference of {release}")
        found.append(_findings(store, problem, release, live.of(release), volume, window))
    (champion, figures), *others = found
    report = Report(now, problem.name, window, champion, tuple(findings for findings, _ in others))
    progress("Writing the report")
    write(store, report, render(report, problem, figures), exposition(report))
    return report


def _findings(
    store: Store, problem: Problem, release: str, live: Live, volume: Volume, window: Window
) -> tuple[ReleaseFindings, Figures]:
    reference = read_reference(store, problem, release)
    logged = [spec for spec in specs_of(problem, SCORE) if spec.name in reference.rows.columns]
    before = Profile.of(reference.rows, Profile.layout(reference.rows, logged))
    now = Profile.of(live.rows, before)
    manifest = reference.manifest
    findings = ReleaseFindings(
        release=release,
        model=manifest.name,
        version=manifest.version,
        rows=live.rows.height,
        labels=live.labelled.height,
        quality=judge_quality(now, before, problem, volume, reference.not_logged),
        drift=_drift(now, before, problem),
        performance=judge_performance(live.rows, live.labelled, problem, manifest),
        fairness=judge_fairness(live.rows, live.labelled, problem, manifest),
    )
    return findings, draw(problem, before, now, live.rows, live.labelled, window)


def _drift(live: Profile, reference: Profile, problem: Problem) -> Drift:
    thresholds = DriftThresholds(**problem.monitoring.drift.model_dump())
    results = DriftCalculator(thresholds).fit(reference).calculate(live)
    features: dict[str, FeatureDrift] = {}
    for name in reference.columns:
        mine = {result.statistic: result for result in results if result.feature == name}
        features[name] = FeatureDrift(any(result.alert for result in mine.values()), dict(mine))
    judged = live.rows >= thresholds.minimum_rows
    return Drift(any(f.alert for f in features.values()), _summary(results, live.rows, problem), features, judged)


def _summary(results: tuple[DriftResult, ...], rows: int, problem: Problem) -> str:
    thresholds = problem.monitoring.drift
    if rows < thresholds.minimum_rows:
        return f"Too few predictions to judge: {rows:,}, at least {thresholds.minimum_rows:,} are needed."
    farthest: dict[str, DriftResult] = {}
    for result in alerts(results):
        farthest.setdefault(result.feature, result)
    columns = len({result.feature for result in results})
    if farthest:
        titles = {feature.name: feature.title for feature in problem.features} | {SCORE: "the score"}
        first = [
            f"{titles[name]} ({STATISTICS[r.statistic]} {r.value:.2f}, limit {r.threshold:g})"
            for name, r in farthest.items()
        ]
        more = f" and {len(first) - NAMED} more" if len(first) > NAMED else ""
        return f"{len(first)} of {columns} distributions have changed: {', '.join(first[:NAMED])}{more}."
    certain = {r.feature for r in results if r.adjusted is not None and r.adjusted < thresholds.false_discovery_rate}
    moved = (
        f"{len(certain)} moved for certain, none of them far enough to matter" if certain else "none moved for certain"
    )
    return f"The {columns} distributions, features and score, are those of the training data: {moved}."
