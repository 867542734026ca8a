"""Is this data what the problem definition says? One check for every stage, all findings at once."""

from collections.abc import Iterator

import pandas as pd

from ml.data._numbers import whole_numbers
from ml.data._schema import find
from ml.data._statistics import describe
from ml.data.conditions import meets
from ml.data.findings import ColumnStatistics, DataRefused, Finding, QualityReport, Stage, show
from ml.data.leakage import roc_auc_of_unknown, single_feature_roc_auc
from ml.problem import Problem

__all__ = ["ColumnStatistics", "DataRefused", "Finding", "QualityReport", "Stage", "check", "require"]


def check(
    problem: Problem,
    frame: pd.DataFrame,
    stage: Stage,
    source: str,
    *,
    labelled: bool = True,
    digest: str | None = None,
    files: tuple[tuple[str, int], ...] = (),
) -> QualityReport:
    """Check `frame` against what `problem` says of data at `stage`; `source` names it in every message.

    raw: every column of a data file; unless `labelled`, the target may be missing. cleaned: the same, of the
    population only, ordered by identifier. features: exactly the model's input columns, in order. predictions:
    every column that the problem doesn't define holds scores between 0 and 1. `files` are the names and numbers of
    rows of the files that the frame is made of, where they are several.
    """
    findings = list(_repeated(frame))
    frame = frame.loc[:, ~frame.columns.duplicated()].reset_index(drop=True)
    if frame.empty:
        findings.append(Finding("error", None, "empty", 0, (), "the data as a whole: empty, 0 rows"))
    else:
        findings += find(problem, frame, stage, labelled=labelled, files=files)
        if stage in ("raw", "cleaned"):
            too_few = list(_too_few_to_judge_leaks(problem, frame))
            findings = findings if too_few else _with_leaks(problem, frame, findings)
            findings += _target_constant(problem, frame)
            findings += too_few if labelled else ()
        if not any(finding.severity == "error" for finding in findings):
            findings += _of_stage(problem, frame, stage)
        findings += _warnings(problem, frame, stage)
    return QualityReport(problem.name, source, stage, len(frame), describe(problem, frame), tuple(findings), digest)


def require(report: QualityReport) -> None:
    """Raise DataRefused with the report's errors, if it has any."""
    if report.errors:
        raise DataRefused(report.source, report.errors)


def _repeated(frame: pd.DataFrame) -> Iterator[Finding]:
    for column in frame.columns[frame.columns.duplicated()].unique():
        count = int((frame.columns == column).sum())
        says = f"column {show(column)}: there {count} times, in all {len(frame):,} rows; only the first was checked"
        yield Finding("error", str(column), "repeated-column", count, (), says)


def _with_leaks(problem: Problem, frame: pd.DataFrame, findings: list[Finding]) -> list[Finding]:
    """The findings, with a leak in place of an unexpected column that tells the target, and features that do."""
    if problem.target.column not in frame:
        return findings
    frame = frame.assign(**{problem.target.column: whole_numbers(frame[problem.target.column])})
    limit = problem.gates.data_leakage.maximum_single_feature_roc_auc
    unexpected = [str(finding.column) for finding in findings if finding.rule == "unexpected-column"]
    bad = {finding.column for finding in findings}
    sound = frame.drop(columns=[column for column in frame.columns if column in bad])
    roc_auc = {column: roc_auc_of_unknown(problem, frame, column) for column in unexpected}
    if problem.target.column in sound:
        roc_auc |= single_feature_roc_auc(problem, sound)
    leaks = {
        column: Finding(
            "error",
            column,
            "target-leak",
            len(frame),
            (f"{value:.3f}",),
            f"column {show(column)}: tells the target {show(problem.target.column)} in all {len(frame):,} rows "
            f"(ROC AUC {value:.3f} alone, allowed {limit:g}); it isn't known when the decision is made, remove it",
        )
        for column, value in roc_auc.items()
        if value > limit
    }
    return [finding for finding in findings if finding.column not in leaks] + list(leaks.values())


def _target_constant(problem: Problem, frame: pd.DataFrame) -> Iterator[Finding]:
    target = problem.target.column
    if target in frame and len(frame) > 1 and frame[target].map(show).nunique() == 1:
        value = show(frame[target].iloc[0])
        says = (
            f"column {show(target)}: {value} in all {len(frame):,} rows; one outcome alone can't train or judge a model"
        )
        yield Finding("error", target, "constant-target", len(frame), (value,), says)


def _too_few_to_judge_leaks(problem: Problem, frame: pd.DataFrame) -> Iterator[Finding]:
    """On a few rows any column may tell the target, or seem not to: the release's gate is not judged then either."""
    target, needed = problem.target.column, problem.gates.evidence
    if target not in frame:
        return
    known = whole_numbers(frame[target]).dropna()
    positives = int((known == problem.target.positive).sum())
    negatives = len(known) - positives
    if positives < needed.minimum_positives or negatives < needed.minimum_negatives:
        says = (
            f"column {show(target)}: {positives:,} positive and {negatives:,} other rows are too few to judge whether "
            f"a column tells it; {needed.minimum_positives:,} and {needed.minimum_negatives:,} are needed"
        )
        yield Finding("warning", target, "leak-not-judged", len(frame), (), says)


def _of_stage(problem: Problem, frame: pd.DataFrame, stage: Stage) -> Iterator[Finding]:
    """What only one stage demands, of a frame without other errors."""
    if stage == "features" and list(frame.columns) != problem.feature_names:
        says = f"the columns as a whole: not in the order of the model's input, in all {len(frame):,} rows"
        yield Finding("error", None, "column-order", len(frame), (), says)
    if stage != "cleaned":
        return
    if outside := int((~meets(frame, problem.population)).sum()):
        says = f"the data as a whole: outside the population in {outside:,} rows"
        yield Finding("error", None, "outside-population", outside, (), says)
    if not frame[problem.identifier].is_monotonic_increasing:
        says = f"column {show(problem.identifier)}: not in ascending order, {len(frame):,} rows"
        yield Finding("error", problem.identifier, "row-order", len(frame), (), says)


def _warnings(problem: Problem, frame: pd.DataFrame, stage: Stage) -> Iterator[Finding]:
    features = [name for name in problem.feature_names if name in frame]
    if len(frame) > 1:
        for name in features:
            values = frame[name].map(show) if frame[name].dtype == object else frame[name]
            if values.nunique(dropna=False) == 1:
                value = show(frame[name].iloc[0])
                says = f"column {show(name)}: {value} in all {len(frame):,} rows; it says nothing"
                yield Finding("warning", name, "constant-column", len(frame), (value,), says)
    others = [name for name in frame.columns if name != problem.identifier]
    if others and stage in ("raw", "cleaned") and all(frame[name].dtype != object for name in frame.columns):
        twins = int(frame.duplicated(others).sum())
        if twins:
            says = (
                f"the data as a whole: {twins:,} rows repeat an earlier one in everything but the identifier; "
                "the split keeps them together"
            )
            yield Finding("warning", None, "duplicate-row", twins, (), says)
