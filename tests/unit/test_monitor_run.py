"""A run over the log of a store: which rows, which releases, what is kept, and that the page shows it safely."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ml.bundle.bundle import key_of
from ml.errors import InputRefused, MlopsError, ReleaseRefused
from ml.feedback.triggers import read_alerts
from ml.monitoring import report as reports
from ml.monitoring.command import PREDICTIONS
from ml.monitoring.latest import LATEST, read_latest
from ml.monitoring.report import Report
from ml.monitoring.run import monitor_once
from ml.predictions import PREFIX
from ml.problem import Problem
from ml.store import Store
from tests.monitor_data import NOW, deliver, log_predictions, reference_of, resampled, watchful

ROOT = Path(__file__).parents[2]
YOUNG = pl.col("AGEP") < 30


@pytest.fixture
def problem(small_problem: Problem) -> Problem:
    return watchful(small_problem)


def run(store: Store, problem: Problem) -> Report:
    report = monitor_once(store, problem, NOW)
    assert report is not None
    return report


def test_traffic_like_the_reference_does_not_drift(store: Store, problem: Problem, published: str) -> None:
    log_predictions(store, problem, published, resampled(store, published, 400))
    report = run(store, problem)
    assert report.champion.release == published
    assert report.champion.rows == 400
    assert not report.champion.drift.alert
    assert not report.champion.quality.alert
    assert report.champion.drift.features.keys() == {*problem.feature_names, "score"}


def test_what_too_few_rows_can_not_show_is_not_called_in_order(store: Store, problem: Problem, published: str) -> None:
    log_predictions(store, problem, published, resampled(store, published, 3))
    champion = run(store, problem).champion
    assert [getattr(champion, name).judged for name in champion.alerts] == [False] * 4
    latest = read_latest(store)
    assert latest is not None
    assert b"Nothing is judged yet" in latest.page
    assert b"in order" not in latest.page
    assert latest.metrics.count(b"\nmlops_monitoring_judged{") == 4
    assert b'mlops_monitoring_judged{section="quality"} 0.0' in latest.metrics
    assert latest.page.count(b"not judged") > 2


def test_a_shifted_population_drifts_in_what_was_shifted(store: Store, problem: Problem, published: str) -> None:
    log_predictions(store, problem, published, resampled(store, published, 400, where=YOUNG))
    report = run(store, problem)
    assert report.alert
    assert report.champion.drift.features["AGEP"].alert
    assert "Age in years" in report.champion.drift.summary


def test_labels_are_joined_and_the_report_counts_them(store: Store, problem: Problem, published: str) -> None:
    live = resampled(store, published, 300)
    ids = log_predictions(store, problem, published, live)
    deliver(store, problem, ids[:200], live[problem.target.column][:200].to_list())
    champion = run(store, problem).champion
    assert champion.labels == champion.performance.labelled == 200
    assert champion.performance.metrics["roc_auc"].basis == "realised"
    assert sum(g.labelled for g in champion.fairness.groups if g.attribute == "SEX") == 200
    assert sum(g.rows for g in champion.fairness.groups if g.attribute == "SEX") == 300


def test_labels_of_last_year_count_though_their_predictions_are_not_in_the_window(
    store: Store, problem: Problem, published: str
) -> None:
    old = resampled(store, published, 120, seed=2)
    ids = log_predictions(store, problem, published, old, name="old", ends=NOW - timedelta(days=360))
    deliver(store, problem, ids, old[problem.target.column].to_list())
    log_predictions(store, problem, published, resampled(store, published, 100))
    champion = run(store, problem).champion
    assert (champion.rows, champion.labels) == (100, 120)


def test_the_window_is_what_was_asked_for(store: Store, problem: Problem, published: str) -> None:
    log_predictions(store, problem, published, resampled(store, published, 100), lasts=timedelta(hours=10))
    half = monitor_once(store, problem, NOW, NOW - timedelta(hours=5))
    assert half is not None
    assert half.champion.rows == 50
    assert half.champion.quality.volume.rows_before == 50
    assert monitor_once(store, problem, NOW, NOW - timedelta(days=9), NOW - timedelta(days=8)) is None
    with pytest.raises(InputRefused, match="holds nothing"):
        monitor_once(store, problem, NOW, NOW, NOW - timedelta(days=1))


def test_nothing_predicted_is_nothing_reported(store: Store, problem: Problem, published: str) -> None:
    assert monitor_once(store, problem, NOW) is None
    assert not store.exists(LATEST)


def test_an_environment_that_nobody_asked_is_looked_at_without_loading_what_compares(store: Store) -> None:
    code = (
        "import sys\n"
        "from ml.monitoring.command import monitor\n"
        f"monitor.main(['run', '--store', {store.uri!r}, '--json'], standalone_mode=False)\n"
        "assert not {'polars', 'scipy', 'pyarrow'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert json.loads(done.stdout) is None
    assert PREDICTIONS == PREFIX


def test_traffic_that_stops_alerts(store: Store, problem: Problem, published: str) -> None:
    yesterday = NOW - timedelta(hours=24)
    log_predictions(store, problem, published, resampled(store, published, 100), ends=yesterday)
    report = run(store, problem)
    assert report.champion.rows == 0
    assert report.champion.quality.alert
    assert report.champion.quality.volume.rows_before == 100


def test_each_release_is_judged_by_itself_and_a_shadow_not_at_all(
    store: Store, problem: Problem, published: str, publish_version: Callable[[str], str]
) -> None:
    challenger, shadow = publish_version("2"), publish_version("3")
    log_predictions(store, problem, published, resampled(store, published, 200))
    young = resampled(store, challenger, 100, where=YOUNG)
    log_predictions(store, problem, challenger, young, name="c", role="challenger", ends=NOW + timedelta(seconds=-1))
    log_predictions(store, problem, shadow, resampled(store, shadow, 50), name="s", role="shadow")
    report = run(store, problem)
    assert report.champion.release == published
    assert [other.release for other in report.others] == [challenger]
    assert not report.champion.drift.alert
    assert report.others[0].drift.alert
    assert not report.alert
    assert report.champion.quality.volume.rows == 300


def test_what_the_log_omits_is_named_and_not_taken_for_drift(store: Store, problem: Problem, published: str) -> None:
    definition = problem.model_dump()
    definition["prediction_log"]["sensitive"]["SEX"]["logged"] = "omitted"
    definition["prediction_log"]["sensitive"]["AGEP"]["logged"] = "banded"
    discreet = Problem.model_validate(definition)
    bands = next(a.bands for a in problem.protected if a.column == "AGEP") or ()
    live = resampled(store, published, 300)
    age = pl.max_horizontal(pl.when(pl.col("AGEP") >= low).then(low).otherwise(0) for low in bands)
    live = live.with_columns(age.cast(pl.Int64).alias("AGEP"), pl.lit(None, pl.Int64).alias("SEX"))
    log_predictions(store, discreet, published, live)
    champion = run(store, discreet).champion
    assert champion.quality.not_logged == ("SEX",)
    assert "SEX" not in champion.drift.features
    assert not champion.drift.alert
    assert not champion.quality.alert


def test_the_newest_report_is_whole_and_others_can_read_it(store: Store, problem: Problem, published: str) -> None:
    assert read_latest(store) is None
    log_predictions(store, problem, published, resampled(store, published, 400, where=YOUNG))
    report = run(store, problem)
    latest = read_latest(store)
    assert latest is not None
    assert latest.outline.release == published
    assert latest.outline.alert
    assert latest.page == store.read(f"{report.key}.html")
    assert read_latest(store, latest) is latest
    stored = json.loads(store.read(f"{report.key}.json"))
    assert stored == json.loads(store.read(LATEST))
    assert {"at", "window", "drift", "performance", "quality", "fairness", "labels"} <= stored.keys()
    trigger = read_alerts(store)
    assert trigger is not None
    assert trigger.drift.alert
    assert trigger.release == published


def test_a_report_of_another_version_is_a_sentence(store: Store) -> None:
    store.write(LATEST, b'{"drift": 1}')
    with pytest.raises(MlopsError, match="is no monitoring report of this version"):
        read_latest(store)
    store.write(LATEST, b'{"page": "monitoring/../secret.html"}')
    with pytest.raises(MlopsError, match="is no monitoring report of this version"):
        read_latest(store)


def test_old_reports_are_deleted(
    store: Store, problem: Problem, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "KEPT", 2)
    log_predictions(store, problem, published, resampled(store, published, 60))
    for minute in range(4):
        assert monitor_once(store, problem, NOW + timedelta(minutes=minute))
    assert [key.split("/")[1] for key in store.list("monitoring")] == [
        "20260310T120200.000000Z.html",
        "20260310T120200.000000Z.json",
        "20260310T120300.000000Z.html",
        "20260310T120300.000000Z.json",
        "latest.json",
        "latest.prom",
    ]


def test_an_altered_reference_is_refused(store: Store, problem: Problem, published: str) -> None:
    log_predictions(store, problem, published, resampled(store, published, 60))
    key = f"{key_of(published)}/reference.parquet"
    store.write(key, store.read(key)[:-1] + b"x")
    with pytest.raises(ReleaseRefused, match=r"reference\.parquet .* was altered"):
        monitor_once(store, problem, NOW)
    assert not store.exists(LATEST)


def test_every_figure_is_a_metric(store: Store, problem: Problem, published: str) -> None:
    live = resampled(store, published, 400, where=YOUNG)
    ids = log_predictions(store, problem, published, live)
    deliver(store, problem, ids, live[problem.target.column].to_list())
    champion = run(store, problem).champion
    latest = read_latest(store)
    assert latest is not None
    samples = {
        (sample.name, *(v for k, v in sorted(sample.labels.items()) if k != "release")): sample.value
        for family in text_string_to_metric_families(latest.metrics.decode())
        for sample in family.samples
    }
    assert samples["mlops_monitoring_alert", "drift"] == 1
    assert samples["mlops_monitoring_labels",] == 400
    for name, feature in champion.drift.features.items():
        assert samples["mlops_drift_alert", name] == feature.alert
        for statistic, result in feature.statistics.items():
            assert samples["mlops_drift", name, statistic] == result.value
    for name, metric in champion.performance.metrics.items():
        assert metric.realised is not None
        assert samples["mlops_performance", "realised", name] == metric.realised.value
    for group in champion.fairness.groups:
        for rate, value in group.rates.items():
            assert samples["mlops_fairness_rate", group.attribute, group.group, rate] == value


def test_the_page_is_self_contained_and_escapes_what_others_wrote(
    store: Store, problem: Problem, published: str
) -> None:
    definition = problem.model_dump() | {"title": "<script>alert(1)</script>"}
    hostile = Problem.model_validate(definition)
    live = resampled(store, published, 300, where=YOUNG)
    ids = log_predictions(store, hostile, published, live)
    deliver(store, hostile, ids, live[problem.target.column].to_list())
    report = run(store, hostile)
    page = store.read(f"{report.key}.html").decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not [scheme for scheme in ("http://", "https://", "src=", "@import") if scheme in page]
    assert "checks alert" in page
    assert published in page


def test_the_reference_is_what_the_bundle_holds(store: Store, published: str, problem: Problem) -> None:
    log_predictions(store, problem, published, reference_of(store, published))
    champion = run(store, problem).champion
    distances = [r.value for feature in champion.drift.features.values() for r in feature.statistics.values()]
    assert distances == pytest.approx([0.0] * len(distances), abs=1e-6)
