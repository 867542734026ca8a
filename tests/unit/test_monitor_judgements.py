"""Quality, performance and fairness of a window: what alerts, and what is too little to tell."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.bundle.manifest import GroupRates, Manifest, MetricResult
from ml.monitoring.fairness import judge_fairness
from ml.monitoring.performance import judge_performance
from ml.monitoring.profile import Profile, specs_of
from ml.monitoring.quality import judge_quality, judge_volume
from ml.monitoring.report import Difference, Quality, Volume
from ml.problem import Problem, load_problem
from tests.monitor_data import watchful

CALM = Volume(1000, 1000, alert=False, reason="")


@pytest.fixture(scope="module")
def problem() -> Problem:
    return watchful(load_problem())


def manifest(roc_auc: float = 0.8, accuracy: float = 0.75, fairness: tuple[GroupRates, ...] = ()) -> Manifest:
    digest = f"sha256:{'0' * 64}"
    return Manifest(
        name="employment",
        version="1",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        created_by="me",
        bundle_digest=digest,
        files={},
        data={},
        code_commit="0" * 40,
        code_modified=False,
        problem_digest=digest,
        candidate="linear",
        parameters={},
        decision_threshold=0.5,
        metrics=(MetricResult(name="roc_auc", value=roc_auc), MetricResult(name="accuracy", value=accuracy)),
        gates=(),
        fairness=fairness,
    )


def valid_rows(problem: Problem, rows: int, seed: int = 1) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    columns: dict[str, np.ndarray] = {}
    for f in problem.features:
        columns[f.name] = (
            random.integers(f.minimum, f.maximum + 1, rows)
            if f.kind == "numeric"
            else random.choice(list(f.codes), rows)
        )
    return pl.DataFrame(columns).cast(pl.Int32).with_columns(score=pl.Series(random.random(rows)))


def quality(problem: Problem, live: pl.DataFrame, volume: Volume = CALM) -> Quality:
    reference = valid_rows(problem, 500, seed=9)
    layout = Profile.layout(reference, specs_of(problem, "score"))
    return judge_quality(Profile.of(live, layout), Profile.of(reference, layout), problem, volume, ())


def test_whole_and_allowed_data_do_not_alert(problem: Problem) -> None:
    found = quality(problem, valid_rows(problem, 500))
    assert not found.alert
    assert found.columns.keys() == set(problem.feature_names)
    assert "16 logged columns are whole" in found.summary


@pytest.mark.parametrize(
    ("column", "wrong", "share"),
    [("AGEP", 120, "invalid"), ("AGEP", -1, "invalid"), ("SEX", 3, "invalid"), ("SEX", None, "missing")],
)
def test_values_that_are_missing_or_not_allowed_alert_and_are_named(
    problem: Problem, column: str, wrong: int | None, share: str
) -> None:
    live = valid_rows(problem, 500)
    spoilt = live.with_columns(
        pl.when(pl.int_range(pl.len()) < 10).then(pl.lit(wrong, pl.Int32)).otherwise(pl.col(column)).alias(column)
    )
    found = quality(problem, spoilt)
    assert found.alert
    assert [name for name, result in found.columns.items() if result.alert] == [column]
    assert getattr(found.columns[column], share) == pytest.approx(0.02)
    assert column in found.summary


def test_traffic_that_falls_alerts_and_little_traffic_is_not_judged(problem: Problem) -> None:
    assert judge_volume(400, 1000, problem).alert
    assert not judge_volume(501, 1000, problem).alert
    assert judge_volume(0, 1000, problem).alert
    assert not judge_volume(0, 49, problem).alert
    assert not judge_volume(0, 49, problem).judged
    assert quality(problem, valid_rows(problem, 100), judge_volume(100, 1000, problem)).alert


def scored(rows: int, skill: float, seed: int = 1) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Calibrated scores; the larger `skill`, the better the labels are ordered by them. With it, the labelled rows."""
    random = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-skill * random.normal(size=rows)))
    frame = pl.DataFrame({"score": scores})
    return frame, frame.with_columns(label=pl.Series((random.random(rows) < scores).astype(np.int32)))


def test_a_drop_alerts_on_labels_when_it_is_large_and_no_chance(problem: Problem) -> None:
    rows, labelled = scored(3000, skill=0.5)
    found = judge_performance(rows, labelled, problem, manifest())
    assert found.alert
    auc = found.metrics["roc_auc"]
    assert auc.alert
    assert auc.basis == "realised"
    assert auc.realised is not None
    assert auc.realised.value is not None
    assert auc.worse_by == pytest.approx(0.8 - auc.realised.value)
    assert "measured on labels" in found.summary
    assert "ROC AUC" in found.summary


def test_before_labels_the_estimate_is_judged_and_says_so(problem: Problem) -> None:
    rows, labelled = scored(3000, skill=0.5)
    found = judge_performance(rows, labelled.head(10), problem, manifest())
    assert found.alert
    assert {m.basis for m in found.metrics.values() if m.basis} == {"estimated"}
    assert found.metrics["roc_auc"].realised is not None
    assert "estimated" in found.summary


def test_a_large_drop_that_may_be_chance_does_not_alert(problem: Problem) -> None:
    rows, labelled = scored(60, skill=2.0)
    auc = judge_performance(rows, labelled, problem, manifest()).metrics["roc_auc"]
    assert auc.realised is not None
    value, high = auc.realised.value, auc.realised.high
    assert value is not None
    assert high is not None
    dropped = judge_performance(rows, labelled, problem, manifest(roc_auc=(value + high) / 2))
    assert not dropped.metrics["roc_auc"].alert
    assert "perhaps by chance" in dropped.metrics["roc_auc"].reason


def test_better_than_at_release_never_alerts(problem: Problem) -> None:
    rows, labelled = scored(3000, skill=4.0)
    found = judge_performance(rows, labelled, problem, manifest())
    assert not found.alert
    assert found.metrics["roc_auc"].worse_by is not None
    assert found.metrics["roc_auc"].worse_by < 0


def test_what_has_no_value_at_release_or_too_few_rows_is_not_judged(problem: Problem) -> None:
    rows, labelled = scored(3000, skill=0.5)
    assert "not judged" in judge_performance(rows, labelled, problem, manifest()).metrics["expected_cost"].reason
    few = judge_performance(rows.head(20), labelled.head(20), problem, manifest())
    assert not few.alert
    assert "Too few" in few.summary
    none = judge_performance(rows.head(0), labelled.head(0), problem, manifest())
    assert not none.alert
    assert not none.judged


@pytest.mark.parametrize("rarer", [0, 1, 19])
def test_labels_of_one_class_leave_the_estimate_to_judge_by(problem: Problem, rarer: int) -> None:
    rows, labelled = scored(3000, skill=0.5)
    label = pl.when(pl.int_range(pl.len()) < rarer).then(0).otherwise(1).cast(pl.Int32)
    found = judge_performance(rows, labelled.with_columns(label=label), problem, manifest())
    assert {metric.basis for metric in found.metrics.values() if metric.worse_by is not None} == {"estimated"}


@pytest.mark.parametrize("rows", [0, 1, 2, 30])
def test_few_rows_are_never_called_in_order(problem: Problem, rows: int) -> None:
    live = valid_rows(problem, 500).head(rows)
    found = quality(problem, live)
    assert (found.alert, found.judged) == (False, False)
    assert "Too few predictions" in found.summary


def decided(problem: Problem, rows: int, seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    other = next(code for code in problem.target.codes if code != problem.target.positive)
    codes = np.array([problem.target.positive, other], dtype=np.int32)
    return valid_rows(problem, rows, seed).with_columns(
        decision=pl.Series(random.choice(codes, rows)), label=pl.Series(random.choice(codes, rows))
    )


@given(rows=st.integers(1, 400), seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_rates_are_those_that_the_gates_measure(rows: int, seed: int) -> None:
    """The same rows give the same groups and rates in production as in training, where fairlearn computes them."""
    from ml.training.fairness import group_rates

    problem = watchful(load_problem())
    frame = decided(problem, rows, seed)
    positive = problem.target.positive
    expected = group_rates(
        problem,
        frame.to_pandas(),
        (frame["label"] == positive).to_numpy().astype(np.int8),
        (frame["decision"] == positive).to_numpy(),
    )
    found = judge_fairness(frame.drop("label"), frame, problem, manifest())
    assert {(g.attribute, g.group): g.labelled for g in found.groups} == {
        (g.attribute, g.group): g.rows for g in expected if g.rows
    }
    rates = {(g.attribute, g.group): g.rates for g in found.groups}
    for group in (each for each in expected if each.rows):
        assert rates[group.attribute, group.group] == pytest.approx(group.rates)


def unequal(problem: Problem, rows: int, gap: float) -> pl.DataFrame:
    """Everybody is positive; women are held to be so less often by `gap`."""
    random = np.random.default_rng(3)
    frame = valid_rows(problem, rows)
    chance = 0.9 - gap * (frame["SEX"] == 2).to_numpy()
    positive = problem.target.positive
    decisions = np.where(random.random(rows) < chance, positive, 1 - positive).astype(np.int32)
    return frame.with_columns(decision=pl.Series(decisions), label=pl.lit(positive, pl.Int32))


def sex(problem: Problem, frame: pl.DataFrame) -> Difference:
    found = judge_fairness(frame, frame, problem, manifest())
    return next(d for d in found.differences if (d.attribute, d.rate) == ("SEX", "true_positive_rate"))


def test_a_difference_beyond_the_limit_alerts_and_names_the_groups(problem: Problem) -> None:
    difference = sex(problem, unequal(problem, 4000, gap=0.3))
    assert difference.alert
    assert difference.value == pytest.approx(0.3, abs=0.05)
    assert (difference.highest, difference.lowest) == ("male", "female")
    assert not sex(problem, unequal(problem, 4000, gap=0.0)).alert


def test_a_difference_whose_interval_reaches_the_limit_does_not_alert(problem: Problem) -> None:
    difference = sex(problem, unequal(problem, 120, gap=0.08))
    assert difference.value is not None
    assert difference.value > difference.limit
    assert not difference.alert
    assert "perhaps by chance" in difference.reason


def test_small_groups_and_attributes_that_are_not_logged_are_not_judged(problem: Problem) -> None:
    frame = unequal(problem, 40, gap=0.5)
    assert sex(problem, frame).value is None
    hidden = unequal(problem, 4000, gap=0.5).with_columns(pl.lit(None, pl.Int32).alias("SEX"))
    found = judge_fairness(hidden, hidden, problem, manifest())
    assert not [group for group in found.groups if group.attribute == "SEX"]
    assert [d.value for d in found.differences if d.attribute == "SEX"] == [None, None]


@pytest.mark.parametrize(("gap", "judged"), [(0.0, False), (0.9, True)])
def test_two_small_groups_say_nothing_of_a_majority_that_is_in_none(problem: Problem, gap: float, judged: bool) -> None:
    """That they differ too much is seen; that they don't is no word on the others."""
    frame = unequal(problem, 4000, gap=gap).with_columns(
        SEX=pl.when(pl.int_range(pl.len()) < 200).then(pl.col("SEX")).otherwise(pl.lit(None, pl.Int32))
    )
    difference = sex(problem, frame)
    assert (difference.value is not None, difference.alert) == (judged, judged)
    assert judged or "at least 95% are needed" in difference.reason


def test_groups_stand_beside_what_they_were_at_release(problem: Problem) -> None:
    then = GroupRates(attribute="SEX", group="male", rows=9, rates={"true_positive_rate": 0.7}, judged=True)
    frame = unequal(problem, 400, gap=0.1)
    found = judge_fairness(frame, frame, problem, manifest(fairness=(then,)))
    male = next(g for g in found.groups if (g.attribute, g.group) == ("SEX", "male"))
    assert male.at_release == {"true_positive_rate": 0.7}
