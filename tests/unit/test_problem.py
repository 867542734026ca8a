"""The problem definition: one file, refused with a sentence for every entry that is wrong."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.errors import InputRefused
from ml.problem import load_problem, read_problem
from ml.problem.definition import DEFAULT_FILE
from tests.conftest import REFERENCE

WAIVER = {"gate": "roc_auc", "reason": "agreed with the owner", "approved_by": "ada", "expires": "2027-01-01"}


def changed(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    definition = yaml.safe_load((REFERENCE / "problem.yaml").read_text(encoding="utf-8"))
    change(definition)
    file = tmp_path / "problem.yaml"
    file.write_text(yaml.safe_dump(definition), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(colour="blue"), "colour: Extra inputs are not permitted"),
        (lambda d: d.pop("costs"), "costs: Field required"),
        (lambda d: d["features"].append(dict(d["features"][0])), "columns are named twice: ['AGEP']"),
        (lambda d: d["baseline"]["when"][0].update(column="AGE"), "baseline.when names the column 'AGE'"),
        (lambda d: d["protected"][0].update(column="GENDER"), "protected names the column 'GENDER'"),
        (lambda d: d["target"].update(positive=7), "target.positive is 7"),
        (
            lambda d: d["target"]["codes"].update({2: "looking for work"}),
            "target: 3 codes (0, 1, 2); a model here tells two",
        ),
        (lambda d: d["target"].update(codes={1: "yes"}), "target: 1 codes (1); a model here tells two"),
        (lambda d: d["features"][0].update(maximum=2**53), "features.0.numeric.maximum"),
        (lambda d: d["features"][0].update(minimum=100), "the minimum 100 is above the maximum 99"),
        (lambda d: d["features"][2].update(codes={}), "features.2.categorical.codes"),
        (lambda d: d["split"].update(test="2050"), "split.test is '2050'"),
        (lambda d: d["datasets"]["files"]["2015"].update(sha256="abc"), "datasets.files.2015.sha256"),
        (lambda d: d["costs"]["false_positive"].update(cost=-1), "costs.false_positive.cost"),
        (lambda d: d.update(waivers=[{"gate": "roc_auc", "reason": "no", "approved_by": "a"}]), "waivers.0.expires"),
        (lambda d: d.update(waivers=[{**WAIVER, "reason": " " * 20}]), "waivers.0.reason"),
        (lambda d: d.update(waivers=[{**WAIVER, "approved_by": " "}]), "waivers.0.approved_by"),
        (lambda d: d.update(waivers=[{**WAIVER, "expires": None}]), "waivers.0.expires"),
        (lambda d: d["canary"].update(minimum=500, window=100), "canary: minimum, 500, is above window, 100"),
        (
            lambda d: d["gates"]["shadow"].update(minimum_rows=9, maximum_rows=5),
            "minimum_rows, 9, is above maximum_rows",
        ),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, change: Callable[[dict[str, Any]], object], says: str) -> None:
    file = changed(tmp_path, change)
    with pytest.raises(InputRefused) as caught:
        read_problem(file)
    assert str(file) in str(caught.value)
    assert says in str(caught.value)


def test_a_missing_file_and_broken_yaml_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="can't be read"):
        read_problem(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(InputRefused, match="is not YAML"):
        read_problem(tmp_path / "broken.yaml")


def test_the_cost_threshold_is_where_both_errors_cost_the_same() -> None:
    problem = load_problem()
    threshold = problem.cost_threshold
    expected_cost_of_positive = (1 - threshold) * problem.costs.false_positive.cost
    expected_cost_of_negative = threshold * problem.costs.false_negative.cost
    assert expected_cost_of_positive == pytest.approx(expected_cost_of_negative)


def test_neither_the_identifier_nor_the_time_nor_the_target_is_a_feature() -> None:
    problem = load_problem()
    assert not {problem.identifier, problem.time, problem.target.column} & set(problem.feature_names)


def test_the_tests_are_about_the_reference_until_a_fork_has_another_problem() -> None:
    """Else run: cp ml/problem.yaml tests/reference/."""
    reference, own = load_problem(), read_problem(DEFAULT_FILE)
    assert own == reference or own.name != reference.name
    for name, file in reference.datasets.files.items():
        data = (REFERENCE / "data" / file.path).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file.sha256, name
