"""A release's figures, judged by the problem definition of whoever receives it."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ml.bundle.bundle import MANIFEST_FILE
from ml.bundle.definition import measured_under
from ml.bundle.manifest import Gate, Manifest
from ml.problem import Problem, Waiver, load_problem
from ml.release.in_force import code_objection, judged_here, objections
from tests.stages import passing_gates

TODAY = date(2026, 3, 1)


@pytest.fixture
def manifest(built: Path, candidate: Path, small_problem: Problem) -> Manifest:
    """Of a release that passed gates which anything passes."""
    sealed = Manifest.model_validate_json((built / MANIFEST_FILE).read_bytes())
    return sealed.model_copy(update={"gates": passing_gates(candidate, small_problem)})


def changed(problem: Problem, *path: str, to: Any) -> Problem:
    """The problem with one entry of its definition changed."""
    said = problem.model_dump(mode="json")
    place: Any = said
    for key in path[:-1]:
        place = place[int(key) if isinstance(place, list) else key]
    place[path[-1]] = to
    return Problem.model_validate(said)


def refused(problem: Problem, manifest: Manifest) -> dict[str, Gate]:
    return {gate.name: gate for gate in judged_here(problem, manifest, TODAY) if not gate.lets_pass}


def test_good_figures_pass_whatever_limits_their_author_had(manifest: Manifest) -> None:
    assert refused(load_problem(), manifest) == {}
    assert objections(judged_here(load_problem(), manifest, TODAY)) == ""


def with_figure(manifest: Manifest, name: str, value: float | None) -> Manifest:
    gates = tuple(g.model_copy(update={"measured": value}) if g.name == name else g for g in manifest.gates)
    return manifest.model_copy(update={"gates": gates})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("roc_auc", 0.6),
        ("pr_auc_over_baseline", 0.001),
        ("expected_cost", 5.0),
        ("calibration_error", 0.4),
        ("data_leakage", 0.999),
        ("latency_ms", 900.0),
    ],
)
def test_a_figure_that_only_relaxed_gates_let_pass_is_refused_by_name_and_value(
    manifest: Manifest, name: str, value: float
) -> None:
    found = with_figure(manifest, name, value)
    assert {g: gate.result for g, gate in refused(load_problem(), found).items()} == {name: "failed"}
    assert f"{name}: {value:.4f}, " in objections(judged_here(load_problem(), found, TODAY))


def test_a_difference_between_groups_is_worked_out_anew_from_their_rates(manifest: Manifest) -> None:
    """An author whose limit was 1 has a gate that passed at 0.7, and may have written 0 there."""
    attribute = load_problem().protected[0].column
    groups = tuple(
        g.model_copy(update={"rates": {"true_positive_rate": 0.1, "false_positive_rate": 0.2}})
        if (g.attribute, g.group) == (attribute, "b")
        else g
        for g in manifest.fairness
    )
    found = refused(load_problem(), manifest.model_copy(update={"fairness": groups}))
    name = f"fairness.{attribute}.true_positive_rate"
    assert {each: gate.measured for each, gate in found.items()} == {name: pytest.approx(0.7)}


@pytest.mark.parametrize("small", [{"rows": 40, "positives": 20}, {"positives": 0}, {"positives": None}])
def test_groups_that_only_a_relaxed_minimum_let_judge_are_not_judged(
    manifest: Manifest, small: dict[str, int | None]
) -> None:
    groups = tuple(g.model_copy(update=small) if g.group == "b" else g for g in manifest.fairness)
    found = refused(load_problem(), manifest.model_copy(update={"fairness": groups}))
    assert "fairness.SEX.true_positive_rate" in found
    assert {gate.result for gate in found.values()} == {"not_judged"}


def test_few_rows_that_only_a_relaxed_minimum_let_judge_are_not_judged(manifest: Manifest) -> None:
    gates = tuple(
        g.model_copy(update={"evidence": g.evidence.model_copy(update={"rows": 50, "positives": 25})})
        if g.evidence and g.evidence.positives is not None
        else g
        for g in manifest.gates
    )
    found = refused(load_problem(), manifest.model_copy(update={"gates": gates}))
    assert {"roc_auc", "expected_cost", "data_leakage"} <= found.keys()
    assert {gate.result for gate in found.values()} == {"not_judged"}


def test_a_missing_gate_is_not_judged(manifest: Manifest) -> None:
    name = "fairness.RAC1P.false_positive_rate"
    fewer = manifest.model_copy(update={"gates": tuple(g for g in manifest.gates if g.name != name)})
    found = refused(load_problem(), fewer)
    assert {each: gate.note for each, gate in found.items()} == {name: "it was never measured"}


def test_a_gate_too_many_is_named(manifest: Manifest) -> None:
    extra = Gate(name="vibes", measured=1.0, demanded="at least 0", result="passed")
    found = refused(load_problem(), manifest.model_copy(update={"gates": (*manifest.gates, extra)}))
    assert found["definition"].note == "it was judged by gates that are not in force: vibes"


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        (("costs", "false_positive", "cost"), 0.1, "costs"),
        (("baseline", "then"), 0.5, "baseline"),
        (("gates", "quality", "confidence"), 0.6, "intervals"),
        (("population", "0", "at_least"), 30, "population"),
        (("protected", "4", "bands"), [17, 90], "groups"),
        (("datasets", "files", "2016", "sha256"), "0" * 64, "data"),
        (("split", "test"), "2017", "data"),
        (("target", "positive"), 0, "target"),
    ],
)
def test_figures_of_another_definition_say_nothing_here(
    manifest: Manifest, path: tuple[str, ...], value: object, part: str
) -> None:
    other = changed(load_problem(), *path, to=value)
    theirs = manifest.model_copy(update={"measured_under": measured_under(other)})
    gate = refused(load_problem(), theirs)["definition"]
    assert (gate.result, gate.note) == ("failed", f"it was measured under another definition of {part}")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("title",), "Another title"),
        (("costs", "false_positive", "meaning"), "another word"),
        (("monitoring", "window_hours"), 1),
        (("protected", "0", "limits"), {"true_positive_rate": 1.0, "false_positive_rate": 1.0}),
        (("gates", "quality", "roc_auc", "minimum"), 0.1),
    ],
)
def test_what_no_figure_depends_on_makes_no_other_definition(path: tuple[str, ...], value: object) -> None:
    assert measured_under(changed(load_problem(), *path, to=value)) == measured_under(load_problem())


def test_a_manifest_from_before_it_said_so_is_not_judged(manifest: Manifest) -> None:
    old = manifest.model_copy(update={"measured_under": None})
    assert refused(load_problem(), old)["definition"].result == "not_judged"


@pytest.mark.parametrize(("expires", "passes"), [(TODAY, True), (date(2026, 2, 28), False)])
def test_only_a_waiver_that_stands_here_and_has_not_expired_counts(
    manifest: Manifest, expires: date, passes: bool
) -> None:
    low = with_figure(manifest, "roc_auc", 0.6)
    author_waived = low.model_copy(
        update={"gates": tuple(g.model_copy(update={"result": "waived"}) for g in low.gates)}
    )
    assert refused(load_problem(), author_waived).keys() == {"roc_auc"}
    waiver = Waiver(gate="roc_auc", reason="agreed with the owner", approved_by="someone", expires=expires)
    problem = load_problem().model_copy(update={"waivers": (waiver,)})
    assert (refused(problem, author_waived) == {}) is passes


@pytest.mark.parametrize(
    ("commit", "modified", "says"),
    [
        ("a" * 40, False, None),
        ("a" * 64, False, None),
        ("a" * 40, True, "differed from commit aaaaaaaaaaaa"),
        ("unknown", False, "no known commit"),
        ("", False, "no known commit"),
    ],
)
def test_code_that_no_commit_holds_is_seen(manifest: Manifest, commit: str, modified: bool, says: str | None) -> None:
    found = code_objection(manifest.model_copy(update={"code_commit": commit, "code_modified": modified}))
    assert found is None if says is None else says in str(found)


def test_any_figure_is_judged_without_a_traceback(manifest: Manifest) -> None:
    for value in (None, float("nan"), float("inf"), -1.0):
        for gate in manifest.gates:
            results = judged_here(load_problem(), with_figure(manifest, gate.name, value), TODAY)
            assert {each.result for each in results} <= {"passed", "failed", "not_judged"}
