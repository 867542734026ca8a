"""Nothing that judges says that all is well on less than its minimum.

Each test walks all that there is of a kind, so that a new gate, check, section or limit without a minimum fails here.
"""

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ml.bundle.bundle import MANIFEST_FILE
from ml.bundle.definition import measured_under
from ml.bundle.evaluation import ChampionComparison, Evaluation
from ml.bundle.manifest import Manifest
from ml.data.quality import check
from ml.monitoring.performance import judge_performance
from ml.monitoring.report import SECTIONS, ReleaseFindings
from ml.monitoring.run import monitor_once
from ml.problem import Problem, load_problem
from ml.release.checks import run_checks
from ml.release.in_force import judged_here
from ml.store import Store
from ml.training.gates import judge
from ml.training.latency import Latency
from tests.conftest import evaluation_of, rows_of
from tests.monitor_data import NOW, deliver, log_predictions, resampled
from tests.unit.test_monitor_judgements import manifest as released

TODAY = date(2026, 3, 1)
FEW = st.sampled_from([0, 1, 2, 30])
OF_CODE = {"code", "smoke", "contract"}  # what these ask is not measured on rows


def on(rows: int, positives: int) -> Evaluation:
    """One whose every figure would pass, had it been measured on enough."""
    whole = evaluation_of(load_problem())
    comparison = ChampionComparison(
        release=f"sha256:{'1' * 64}",
        rows=rows,
        positives=positives,
        since=datetime(2026, 1, 1, tzinfo=UTC),
        until=datetime(2026, 2, 1, tzinfo=UTC),
        metrics=whole.metrics,
    )
    counted = {"train_rows": rows, "train_positives": positives, "test_rows": rows, "test_positives": positives}
    groups = tuple(group.model_copy(update={"rows": rows, "positives": positives}) for group in whole.fairness)
    return whole.model_copy(update=counted | {"fairness": groups, "champion": comparison})


def test_the_same_figures_on_enough_pass_every_gate() -> None:
    gates = judge(load_problem(), on(8000, 4000), Latency(1.0, 100), TODAY)
    assert {gate.name: gate.note for gate in gates if not gate.lets_pass} == {}


@given(rows=FEW, share=st.sampled_from([0, 0.5, 1]))
def test_no_gate_passes_on_a_handful_of_rows(rows: int, share: float) -> None:
    gates = judge(load_problem(), on(rows, int(rows * share)), Latency(1.0, rows), TODAY)
    assert {gate.name: gate.result for gate in gates if gate.result != "not_judged"} == {}


@given(share=st.sampled_from([0, 1]))
def test_no_gate_of_the_models_figures_passes_on_one_class(share: int) -> None:
    gates = judge(load_problem(), on(8000, 8000 * share), Latency(1.0, 100), TODAY)
    by_rate = {"true_positive_rate": 1, "false_positive_rate": 0}  # of which class such a rate is a share
    expected = {
        f"fairness.{attribute.column}.{rate}"
        for attribute in load_problem().protected
        for rate in attribute.limits
        if by_rate.get(rate, share) == share
    }
    assert {gate.name for gate in gates if gate.result != "not_judged"} == {"latency_ms", *expected}


@pytest.fixture(scope="module")
def poor(built: Path) -> Manifest:
    """Of a release that says of every gate that it passed, on 30 rows."""
    gates = judge(load_problem(), on(8000, 4000), Latency(1.0, 100), TODAY)
    few = {gate.name: gate for gate in judge(load_problem(), on(30, 15), Latency(1.0, 30), TODAY)}
    said = tuple(gate.model_copy(update={"evidence": few[gate.name].evidence}) for gate in gates)
    sealed = Manifest.model_validate_json((built / MANIFEST_FILE).read_bytes())
    small = {"gates": said, "fairness": on(30, 15).fairness, "measured_under": measured_under(load_problem())}
    return sealed.model_copy(update=small)


def test_who_receives_a_release_believes_no_figure_on_a_handful_of_rows_either(poor: Manifest) -> None:
    assert poor.passed
    judged = {gate.name: gate.result for gate in judged_here(load_problem(), poor, TODAY)}
    assert judged.pop("definition") == "passed"
    assert set(judged.values()) == {"not_judged"}


def test_no_check_of_a_promotion_passes_where_there_is_nothing_to_judge_by(
    built: Path, poor: Manifest, small_problem: Problem, tmp_path: Path
) -> None:
    gates = small_problem.gates.model_copy(
        update={"latency": small_problem.gates.latency.model_copy(update={"rows": 900})}
    )
    problem = load_problem().model_copy(update={"gates": gates})
    store = Store((tmp_path / "store").as_uri())
    checks = run_checks(built, poor, problem, store, f"sha256:{'9' * 64}", None, lambda _: None)
    assert {each.name for each in checks if each.lets_pass} == OF_CODE
    assert all(each.note for each in checks)


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_no_section_of_the_monitors_report_is_in_order_on_a_handful_of_rows(
    rows: int, store: Store, small_problem: Problem, published: str
) -> None:
    live = resampled(store, published, rows)
    ids = log_predictions(store, small_problem, published, live)
    deliver(store, small_problem, ids, live[small_problem.target.column].to_list())
    report = monitor_once(store, small_problem, NOW)
    assert report is not None
    findings = {field.name: getattr(report.champion, field.name) for field in msgspec.structs.fields(ReleaseFindings)}
    sections = {name: found for name, found in findings.items() if hasattr(found, "alert")}
    assert sections.keys() == set(SECTIONS)
    assert {name: (found.judged, found.alert) for name, found in sections.items()} == dict.fromkeys(
        SECTIONS, (False, False)
    )


def test_scores_that_let_expect_hardly_a_positive_row_are_no_estimate_to_judge_by() -> None:
    rows = pl.DataFrame({"score": [0.001] * 3000})
    labelled = rows.head(0).with_columns(label=pl.lit(None, pl.Int32))
    found = judge_performance(rows, labelled, load_problem(), released())
    assert not found.judged
    assert {metric.basis for metric in found.metrics.values()} == {None}


@pytest.mark.parametrize("rows", [0, 1, 2, 30])
def test_no_column_is_said_to_tell_the_target_or_not_to_on_a_handful_of_rows(rows: int) -> None:
    """Of two rows any column orders them rightly or not at all."""
    problem = load_problem()
    other = next(code for code in problem.target.codes if code != problem.target.positive)
    frame = rows_of(problem, rows)
    frame.insert(0, problem.identifier, range(rows))
    frame.insert(1, problem.time, 2018)
    frame[problem.target.column] = [problem.target.positive if row % 2 else other for row in range(rows)]
    found = {finding.rule: finding.severity for finding in check(problem, frame, "raw", "it").findings}
    assert "target-leak" not in found
    assert found.get("leak-not-judged", found.get("empty")) == ("warning" if rows else "error")


def numbers(part: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where the definition has a number that may have places."""
    if isinstance(part, float):
        yield path
    for key, value in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
        yield from numbers(value, (*path, key))


@pytest.mark.parametrize(
    "path", list(numbers(load_problem().model_dump(mode="json"))), ids=lambda path: ".".join(map(str, path))
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_limit_can_be_one_that_nothing_is_beyond(path: tuple[str | int, ...], value: float) -> None:
    said = load_problem().model_dump(mode="json")
    place: Any = said
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValidationError):
        Problem.model_validate(said)
