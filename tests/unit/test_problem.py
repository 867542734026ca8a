"""The problem definition: one file, refused with a sentence for every entry that is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.errors import InputRefused
from ml.problem import load_problem, read_problem
from ml.problem.definition import DEFAULT_FILE


def changed(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    definition = yaml.safe_load(DEFAULT_FILE.read_text(encoding="utf-8"))
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
        (lambda d: d["split"].update(test="2050"), "split.test is '2050'"),
        (lambda d: d["datasets"]["files"]["2015"].update(sha256="abc"), "datasets.files.2015.sha256"),
        (lambda d: d["costs"]["false_positive"].update(cost=-1), "costs.false_positive.cost"),
        (lambda d: d.update(waivers=[{"gate": "roc_auc", "reason": "no", "approved_by": "a"}]), "waivers.0.expires"),
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
