"""What each stage demands, what is only a warning, and when a column tells the target."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ml.data.leakage import roc_auc_of_unknown, single_feature_roc_auc
from ml.data.quality import DataRefused, QualityReport, Stage, check, require
from ml.problem import load_problem
from tests.conftest import REFERENCE

pytestmark = pytest.mark.slow

PROBLEM = load_problem()
ROOT = Path(__file__).parents[2]
PEOPLE = pd.read_parquet(REFERENCE / "data" / "2015.parquet").head(3000)
ADULTS = PEOPLE[PEOPLE["AGEP"].between(17, 89)]
FEATURES = PEOPLE[PROBLEM.feature_names]


def rules(report: QualityReport) -> list[tuple[str | None, str, int]]:
    return [(finding.column, finding.rule, finding.count) for finding in report.errors]


def examined(frame: pd.DataFrame, stage: Stage) -> QualityReport:
    return check(PROBLEM, frame, stage, "here")


@pytest.mark.parametrize(("stage", "frame"), [("raw", PEOPLE), ("cleaned", ADULTS), ("features", FEATURES)])
def test_good_data_passes_each_stage(stage: Stage, frame: pd.DataFrame) -> None:
    report = examined(frame, stage)
    require(report)
    assert (report.passed, report.rows, report.stage, report.source) == (True, len(frame), stage, "here")
    assert [column.name for column in report.columns] == list(frame.columns)


@pytest.mark.parametrize("dtype", ["Int16", "float64", "int64", "uint8", "category", "object"])
def test_whole_numbers_pass_in_whatever_type_they_come(dtype: str) -> None:
    report = examined(FEATURES.astype(dtype), "features")
    require(report)
    assert [column.counts for column in report.columns] == [c.counts for c in examined(FEATURES, "features").columns]


def test_cleaned_data_is_of_the_population_and_in_order() -> None:
    outside = int((~PEOPLE["AGEP"].between(17, 89)).sum())
    assert rules(examined(PEOPLE, "cleaned")) == [(None, "outside-population", outside)]
    assert rules(examined(ADULTS.iloc[::-1], "cleaned")) == [("id", "row-order", len(ADULTS))]


def test_features_are_exactly_the_input_columns_in_order() -> None:
    assert rules(examined(FEATURES[FEATURES.columns[::-1]], "features")) == [(None, "column-order", len(FEATURES))]
    assert rules(examined(FEATURES.assign(id=1), "features")) == [("id", "unexpected-column", len(FEATURES))]
    assert rules(examined(FEATURES.drop(columns="SEX"), "features")) == [("SEX", "missing-column", len(FEATURES))]


@pytest.mark.parametrize(
    ("scores", "found"),
    [
        ([0.0, 0.5, 1.0], []),
        ([0.0, np.nan, 1.0], [("score", "null", 1)]),
        ([0.2, np.inf, -np.inf], [("score", "not-a-probability", 2)]),
        ([0.2, 1.0000001, -1e-9], [("score", "not-a-probability", 2)]),
        (["high", "low", "low"], [("score", "not-a-probability", 3)]),
    ],
)
def test_predictions_are_finite_and_between_0_and_1(
    scores: list[object], found: list[tuple[str | None, str, int]]
) -> None:
    assert rules(examined(FEATURES.head(3).assign(score=scores), "predictions")) == found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=20))
def test_every_finite_score_is_in_one_bin(scores: list[float]) -> None:
    frame = pd.DataFrame({"score": scores})
    statistics = examined(frame, "predictions").columns[0]
    finite = int(np.isfinite(frame["score"]).sum())
    assert sum(count for _, count in statistics.counts) in ({finite} if statistics.counts else {0, finite})


def test_predictions_without_a_score_are_refused() -> None:
    assert rules(examined(FEATURES.head(3), "predictions")) == [("score", "missing-column", 3)]


def test_a_refusal_carries_its_findings_and_warnings_do_not_refuse() -> None:
    report = examined(PEOPLE.assign(CIT=1), "raw")
    require(report)
    constant = [finding for finding in report.warnings if finding.rule == "constant-column"]
    assert [(finding.column, finding.count) for finding in constant] == [("CIT", len(PEOPLE))]

    with pytest.raises(DataRefused, match=r"here: column 'CIT': .* in 3,000 rows, such as 77") as refused:
        require(examined(PEOPLE.assign(CIT=77), "raw"))
    assert [finding.rule for finding in refused.value.findings] == ["unknown-code"]


def test_rows_that_differ_in_the_identifier_alone_are_a_warning() -> None:
    distinct = PEOPLE.drop_duplicates([column for column in PEOPLE.columns if column != "id"])
    assert not examined(distinct, "raw").warnings
    doubled = pd.concat([distinct, distinct.head(7).assign(id=[-1, -2, -3, -4, -5, -6, -7])])
    assert [(finding.rule, finding.count) for finding in examined(doubled, "raw").warnings] == [("duplicate-row", 7)]


@settings(max_examples=40, deadline=None)
@given(
    column=st.sampled_from(PROBLEM.feature_names),
    where=st.sets(st.integers(0, 49), min_size=1),
    value=st.one_of(
        st.integers(100, 2**70),
        st.floats(0.01, 0.99),
        st.text(max_size=5),
        st.sampled_from([None, True, (), b"1", pd.Timestamp(0), float("inf")]),
    ),
)
def test_any_impossible_value_is_counted_in_its_column(column: str, where: set[int], value: object) -> None:
    frame = PEOPLE.head(50).astype({column: object})
    for row in where:
        frame.at[row, column] = value
    report = examined(frame, "raw")
    assert {(finding.column, finding.count) for finding in report.errors} == {(column, len(where))}
    assert len(report.columns) == len(frame.columns)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=80))
def test_the_roc_auc_of_a_number_is_scikit_learns(rows: list[tuple[int, bool]]) -> None:
    values, positive = map(np.array, zip(*rows, strict=True))
    frame = pd.DataFrame({"AGEP": values, "employed": positive.astype(int)})
    expected = roc_auc_score(positive, values) if 0 < positive.sum() < len(rows) else 0.5
    assert single_feature_roc_auc(PROBLEM, frame)["AGEP"] == pytest.approx(max(expected, 1 - expected))


def test_a_category_is_judged_by_the_share_of_positives_of_its_codes() -> None:
    shares = PEOPLE.groupby("RELP")["employed"].transform("mean")
    common = PEOPLE.groupby("RELP")["id"].transform("size") >= 30
    pooled = shares.where(common, PEOPLE.loc[~common, "employed"].mean())
    expected = roc_auc_score(PEOPLE["employed"], pooled)
    assert single_feature_roc_auc(PROBLEM, PEOPLE)["RELP"] == pytest.approx(expected)


def test_a_column_of_unique_values_is_no_leak_but_unexpected() -> None:
    frame = PEOPLE.assign(token=[f"t{i}" for i in range(len(PEOPLE))])
    assert roc_auc_of_unknown(PROBLEM, frame, "token") == 0.5
    assert rules(examined(frame, "raw")) == [("token", "unexpected-column", len(PEOPLE))]


def test_a_noisy_copy_of_the_target_is_a_leak_only_above_the_limit() -> None:
    limit = PROBLEM.gates.data_leakage.maximum_single_feature_roc_auc
    random = np.random.default_rng(1)
    for flipped, rule in ((0.01, "target-leak"), (0.1, "unexpected-column")):
        copy = np.where(random.random(len(PEOPLE)) < flipped, 1 - PEOPLE["employed"], PEOPLE["employed"])
        report = examined(PEOPLE.assign(copy=copy), "raw")
        assert (roc_auc_of_unknown(PROBLEM, PEOPLE.assign(copy=copy), "copy") > limit) == (rule == "target-leak")
        assert rules(report) == [("copy", rule, len(PEOPLE))]


def test_checking_data_does_not_load_spark() -> None:
    """pandera would, wherever PySpark is installed."""
    code = (
        "import sys; from pathlib import Path; from ml.data.read import examine; from ml.problem import load_problem;"
        "report = examine(load_problem(), Path('tests/reference/data/2015.parquet'));"
        "print(report.passed, [name for name in sys.modules if name.startswith('pyspark')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["True", "[]"]
    assert "Spark" not in done.stderr
