"""Compile a release's model into tables, and accept them only when they decide as the model itself does.

Compared are the rows of the whole evaluation set, and random rows that the schema allows: codes that no row of the
evaluation set has must be answered alike too. What does not compile, or not exactly enough, is served as it is.
"""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from ml.bundle.manifest import ScorerEvidence
from ml.bundle.schema import BundleSchema
from ml.errors import ReleaseRefused
from ml.model.compiled import Axis, CompiledScorer, Link, Tables
from ml.model.scorer import SCORER_FILE, ExactScorer, load_exact_scorer
from ml.problem import Categorical, Feature, Problem

__all__ = ["compile_scorer"]

LARGEST_DIFFERENCE: Final = 1e-6
RANDOM_ROWS: Final = 10_000
PROBED_ROWS: Final = 200
MAXIMUM_LEAVES: Final = 64  # the bits of the widest integer
MAXIMUM_PLACES: Final = 65_536  # values that a feature may take before it is cut at the model's own edges
MAXIMUM_BYTES: Final = 64 * 1024 * 1024
DIGITS: Final = 12  # what a processor rounds otherwise must not change a bundle's bytes


class _NotCompiled(Exception):
    """Why a model does not compile, in a sentence."""


def compile_scorer(folder: Path, problem: Problem, threshold: float, evaluation: pd.DataFrame | None) -> ScorerEvidence:
    """Add the compiled model to the bundle in `folder` where it holds, and say in scorer.json what became of it.

    `evaluation` has the features of the evaluation set, None for a candidate from before it was kept.
    """
    evidence = _compiled(folder, problem, threshold, evaluation)
    (folder / SCORER_FILE).write_text(evidence.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
    return evidence


def _compiled(folder: Path, problem: Problem, threshold: float, evaluation: pd.DataFrame | None) -> ScorerEvidence:
    if evaluation is None:
        return _exact("the candidate holds no evaluation set to compare with: train again")
    try:
        exact = load_exact_scorer(folder, BundleSchema.of(problem))
    except ReleaseRefused as error:
        return _exact(str(error))
    matrix = evaluation[problem.feature_names].to_numpy(_dtype(problem))
    rows = np.concatenate([matrix, _random_rows(problem, matrix.dtype)])
    try:
        tables = _tables(exact, problem, rows[-RANDOM_ROWS:])
        found = CompiledScorer(tables).score(rows)
    except _NotCompiled as error:
        return _exact(str(error))
    except Exception as error:  # a model is foreign code: whatever it raises here, it can still score
        return _exact(f"it can't be compiled: {type(error).__name__}: {error}")
    expected = exact.score(rows)
    difference = float(np.max(np.abs(found - expected)))
    changed = int(np.count_nonzero((found >= threshold) != (expected >= threshold)))
    reason = None
    if not difference <= LARGEST_DIFFERENCE or changed:
        reason = (
            f"compiled, it differs from the model by up to {difference:.2g} and decides {changed} of {len(rows)} rows "
            f"otherwise; at most {LARGEST_DIFFERENCE:g} and none are let pass"
        )
    else:
        tables.save(folder)
    return ScorerEvidence(
        kind="exact" if reason else tables.kind,
        reason=reason,
        rows=len(matrix),
        random_rows=RANDOM_ROWS,
        largest_difference=round(difference, DIGITS),
        changed_decisions=changed,
    )


def _exact(reason: str) -> ScorerEvidence:
    return ScorerEvidence(kind="exact", reason=reason)


def _dtype(problem: Problem) -> Any:
    return np.float64 if any(feature.nullable for feature in problem.features) else np.int64


def _random_rows(problem: Problem, dtype: Any) -> np.ndarray:
    """Rows that the schema allows, each value as likely as any other of its column."""
    random = np.random.default_rng(problem.split.seed)
    columns = [random.choice(_extremes(f), RANDOM_ROWS).astype(dtype) for f in problem.features]
    for feature, column in zip(problem.features, columns, strict=True):
        if feature.nullable:
            column[random.random(RANDOM_ROWS) < 0.1] = np.nan
    return np.column_stack(columns)


def _extremes(feature: Feature) -> np.ndarray:
    if isinstance(feature, Categorical):
        return np.array(sorted(feature.codes))
    return np.unique(np.linspace(feature.minimum, feature.maximum, MAXIMUM_PLACES).round().astype(np.int64))


def _tables(exact: ExactScorer, problem: Problem, rows: np.ndarray) -> Tables:
    """The model's tables; _NotCompiled when it is of no kind that has any."""
    steps = [step for _, step in getattr(exact.model, "steps", [("model", exact.model)])]
    *before, model = steps
    if hasattr(model, "coef_"):
        return _additive(exact, problem)
    for step in before:
        if not _changes_nothing(step, exact, rows):
            raise _NotCompiled(f"its step {type(step).__name__} changes the columns before the trees see them")
    return _trees(model, exact, problem.features, rows)


def _changes_nothing(step: Any, exact: ExactScorer, rows: np.ndarray) -> bool:
    given = exact.frame(rows)
    changed = np.asarray(step.transform(given))
    return changed.shape == rows.shape and np.array_equal(changed.astype(np.float64), rows, equal_nan=True)


def _additive(exact: ExactScorer, problem: Problem) -> Tables:
    """A model whose log-odds are a sum over the features: each value is asked alone, beside a typical row."""
    if not hasattr(exact.model, "decision_function"):
        raise _NotCompiled(f"{type(exact.model).__name__} has no decision_function")
    axes = _axes(problem.features, {})
    if (places := axes[-1].start + axes[-1].size) > MAXIMUM_PLACES:
        raise _NotCompiled(f"its features take {places} values together; at most {MAXIMUM_PLACES} are asked one by one")
    typical = np.array([BundleSchema.of(problem).example[f.name] for f in problem.features], dtype=_dtype(problem))
    asked = np.tile(typical, (places, 1))
    allowed = np.zeros(places, dtype=bool)
    for column, (feature, axis) in enumerate(zip(problem.features, axes, strict=True)):
        values, of_axis = _values(axis), slice(axis.start, axis.start + axis.size)
        allowed[of_axis] = np.isin(values, list(feature.codes)) if isinstance(feature, Categorical) else True
        allowed[of_axis] |= np.isnan(values)
        asked[of_axis, column] = np.where(allowed[of_axis], np.nan_to_num(values), typical[column])
        if axis.nullable:
            asked[axis.start + axis.size - 1, column] = np.nan
    sign = 1.0 if exact.positive == 1 else -1.0
    base = sign * float(exact.model.decision_function(exact.frame(typical[None, :]))[0])
    values = np.where(allowed, sign * exact.model.decision_function(exact.frame(asked)) - base, 0.0)
    return Tables("additive", axes, values, np.empty((0, 0), dtype=np.uint8), base, "logistic")


def _trees(model: Any, exact: ExactScorer, features: tuple[Feature, ...], rows: np.ndarray) -> Tables:
    """The trees of a model that treelite reads: it knows how each library writes down its own."""
    positive = exact.positive
    treelite: Any = importlib.import_module("treelite")
    try:
        described = json.loads(treelite.sklearn.import_model(model).dump_as_json(pretty_print=False))
    except (NotImplementedError, ValueError, treelite.TreeliteError) as error:
        raise _NotCompiled(f"treelite does not read a {type(model).__name__}: {str(error).splitlines()[0]}") from error
    links: dict[str, Link] = {"sigmoid": "logistic", "identity": "identity", "identity_multiclass": "identity"}
    link = links.get(described["postprocessor"])
    if link is None or described["sigmoid_alpha"] != 1.0:
        raise _NotCompiled(f"its link is {described['postprocessor']}")
    trees = [_Tree(tree["nodes"], positive) for tree in described["trees"]]
    leaves = max(len(tree.leaves) for tree in trees)
    if leaves > MAXIMUM_LEAVES:
        raise _NotCompiled(f"a tree has {leaves} leaves; at most {MAXIMUM_LEAVES} compile")
    axes = _axes(features, _edges(features, trees))
    is_by_code = any(node["node_type"] == "categorical_test_node" for tree in trees for node, *_ in tree.tests)
    reach = _reach(axes, trees, leaves, _unseen(exact, features, rows[:PROBED_ROWS]) if is_by_code else {})
    values = np.zeros((len(trees), leaves))
    for number, tree in enumerate(trees):
        values[number, : len(tree.leaves)] = tree.leaves
    if described["average_tree_output"]:
        values /= len(trees)
    scores = described["base_scores"]
    return Tables("trees", axes, values.reshape(-1), reach, float(scores[positive if len(scores) > 1 else 0]), link)


class _Tree:
    """A tree as treelite describes it: its leaves from left to right, and each test with the leaves on either side."""

    def __init__(self, nodes: list[dict[str, Any]], positive: int) -> None:
        self._nodes = {node["node_id"]: node for node in nodes}
        self._positive = positive
        self.leaves: list[float] = []
        self.tests: list[tuple[dict[str, Any], int, int, int]] = []
        self._walk(0)

    def _walk(self, node_id: int) -> None:
        node = self._nodes[node_id]
        first = len(self.leaves)
        if "leaf_value" in node:
            value = node["leaf_value"]
            self.leaves.append(float(value[self._positive] if isinstance(value, list) else value))
            return
        self._walk(node["left_child"])
        middle = len(self.leaves)
        self._walk(node["right_child"])
        self.tests.append((node, first, middle, len(self.leaves)))


def _edges(features: tuple[Feature, ...], trees: list[_Tree]) -> dict[int, np.ndarray]:
    """The values that the trees cut a feature of many values at, each the last on its side."""
    edges: dict[int, set[int]] = {
        column: set()
        for column, feature in enumerate(features)
        if not isinstance(feature, Categorical) and feature.maximum - feature.minimum >= MAXIMUM_PLACES // len(features)
    }
    for tree in trees:
        for node, *_ in tree.tests:
            if (column := node["split_feature_id"]) in edges:
                edges[column].add(_last_below(node))
    return {column: np.array(sorted(found), dtype=np.int64) for column, found in edges.items()}


def _last_below(node: dict[str, Any]) -> int:
    """The largest whole number on the lower side of a numerical test."""
    if node["comparison_op"] not in COMPARISONS:
        raise _NotCompiled(f"it compares with {node['comparison_op']}")
    is_lower_included = node["comparison_op"] in ("<=", ">")
    return int(np.floor(node["threshold"])) if is_lower_included else int(np.ceil(node["threshold"])) - 1


COMPARISONS: Final[dict[str, Callable[[np.ndarray, float], np.ndarray]]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def _axes(features: tuple[Feature, ...], edges: dict[int, np.ndarray]) -> tuple[Axis, ...]:
    axes: list[Axis] = []
    start = 0
    for column, feature in enumerate(features):
        codes = feature.codes if isinstance(feature, Categorical) else (feature.minimum, feature.maximum)
        low, high = min(codes), max(codes)
        cut = edges.get(column)
        size = (high - low + 1 if cut is None else len(cut) + 1) + feature.nullable
        axes.append(Axis(start, size, low, high, feature.nullable, cut))
        start += size
    return tuple(axes)


def _values(axis: Axis) -> np.ndarray:
    """A value that stands in each place of an axis (size,), NaN for a missing one."""
    if axis.edges is None:
        values = np.arange(axis.minimum, axis.maximum + 1, dtype=np.float64)
    else:
        values = np.append(axis.edges, axis.maximum).astype(np.float64)
    return np.append(values, np.nan) if axis.nullable else values


def _unseen(exact: ExactScorer, features: tuple[Feature, ...], rows: np.ndarray) -> dict[int, list[int]]:
    """By column, the codes that the model takes for missing, as scikit-learn does with what no training row had.

    treelite sends them with the codes of the right child instead; asking the model shows them.
    """
    unseen: dict[int, list[int]] = {}
    for column, feature in enumerate(features):
        if not isinstance(feature, Categorical):
            continue
        codes = [np.nan, *feature.codes]
        asked = np.tile(rows.astype(np.float64), (len(codes), 1))
        asked[:, column] = np.repeat(codes, len(rows))
        frame = pd.DataFrame(asked, columns=[feature.name for feature in features])  # integers would hold no NaN
        probabilities = exact.model.predict_proba(frame)[:, exact.positive]
        missing, *scores = probabilities.reshape(len(codes), len(rows))
        found = zip(feature.codes, scores, strict=True)
        unseen[column] = [code for code, of_code in found if np.array_equal(of_code, missing)]
    return unseen


def _reach(axes: tuple[Axis, ...], trees: list[_Tree], leaves: int, unseen: dict[int, list[int]]) -> np.ndarray:
    """(places, trees): the leaves that each value of each feature leaves within reach, as bits."""
    places = axes[-1].start + axes[-1].size
    kind = next(kind for kind in (np.uint8, np.uint16, np.uint32, np.uint64) if leaves <= np.iinfo(kind).bits)
    if places * len(trees) * kind().itemsize > MAXIMUM_BYTES:
        raise _NotCompiled(f"its tables would take more than {MAXIMUM_BYTES} bytes")
    reach = np.empty((places, len(trees)), dtype=kind)
    values = [_values(axis) for axis in axes]
    for number, tree in enumerate(trees):
        reach[:, number] = kind(_bits(0, len(tree.leaves)))
        for node, first, middle, end in tree.tests:
            column = node["split_feature_id"]
            axis = axes[column]
            left = _goes_left(node, values[column], unseen.get(column, []))
            everything = _bits(0, len(tree.leaves))
            kept = np.where(left, kind(everything ^ _bits(middle, end)), kind(everything ^ _bits(first, middle)))
            reach[axis.start : axis.start + axis.size, number] &= kept.astype(kind)
    return reach


def _bits(first: int, end: int) -> int:
    return (1 << end) - (1 << first)


def _goes_left(node: dict[str, Any], values: np.ndarray, unseen: list[int]) -> np.ndarray:
    """Which values a test sends to its left child."""
    missing = np.isnan(values) | np.isin(values, unseen)
    if node["node_type"] == "categorical_test_node":
        left = np.isin(values, node["category_list"]) != node["category_list_right_child"]
    else:
        left = COMPARISONS[node["comparison_op"]](values, node["threshold"])
    return np.where(missing, node["default_left"], left)
