"""The problem definition as a pandera schema, and what pandera says as findings."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from numbers import Real
from typing import Final, TypeAlias, cast

import pandas as pd

from ml.columns.fit import fits
from ml.columns.header import namesake
from ml.data._numbers import Values, whole_numbers
from ml.data._pandera import without_spark
from ml.data.findings import Finding, Stage, show
from ml.problem import Problem
from ml.problem.domain import Domain

with without_spark():
    import pandera.pandas as pa
    from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

__all__ = ["find"]

EXAMPLES: Final = 5

Test: TypeAlias = Callable[[Values], "pd.Series[bool]"]


def find(
    problem: Problem, frame: pd.DataFrame, stage: Stage, *, labelled: bool, files: tuple[tuple[str, int], ...] = ()
) -> list[Finding]:
    """The errors of `frame`, all at once; its column names must be unique and its index 0 to rows - 1.

    `files` are names and numbers of rows, where the frame is made of several.
    """
    schema = _predictions(problem, frame) if stage == "predictions" else _rows(problem, stage, labelled=labelled)
    try:
        with without_spark():
            schema.validate(frame, lazy=True)
    except SchemaErrors as refused:
        findings = [_finding(frame, error, files) for error in refused.schema_errors]
        missing = [str(finding.column) for finding in findings if finding.rule == "missing-column"]
        renamed = {namesake(column, _names(frame)) for column in missing}
        return [f for f in findings if f.rule != "unexpected-column" or f.column not in renamed]
    return []


def _rows(problem: Problem, stage: Stage, *, labelled: bool) -> pa.DataFrameSchema:
    columns = {feature.name: _of_domain(feature.domain) for feature in problem.features}
    if stage != "features":
        columns[problem.target.column] = _of_domain(problem.target.domain, required=labelled)
        columns[problem.time] = _column([_whole()], nullable=False)
        columns[problem.identifier] = _column([_whole("a whole number (7, not 007)"), _unique()], nullable=False)
    return pa.DataFrameSchema(columns, strict=True)


def _of_domain(domain: Domain, *, required: bool = True) -> pa.Column:
    return _column([_whole(), _within(domain)], nullable=domain.nullable, required=required)


def _predictions(problem: Problem, frame: pd.DataFrame) -> pa.DataFrameSchema:
    def probability(values: Values) -> "pd.Series[bool]":
        return _numbers(values).between(0, 1)

    scores = [column for column in frame.columns if column not in problem.columns]
    # With no such column the schema asks for one, by the name that a reader understands.
    test = _check("not-a-probability", "not a finite number between 0 and 1", probability)
    return pa.DataFrameSchema({column: _column([test], nullable=False) for column in scores or ["score"]})


def _column(checks: list[pa.Check], *, nullable: bool, required: bool = True) -> pa.Column:
    present = _check("null", "no value where one is required", lambda values: values.notna(), ignore_na=False)
    return pa.Column(nullable=True, required=required, checks=checks if nullable else [present, *checks])


def _check(rule: str, says: str, test: Test, *, ignore_na: bool = True) -> pa.Check:
    # Without a limit pandera lists every failing value, which takes a second per bad column.
    return pa.Check(test, name=rule, error=says, ignore_na=ignore_na, n_failure_cases=EXAMPLES)


def _whole(what: str = "a whole number") -> pa.Check:
    return _check("not-a-whole-number", f"not {what}", lambda values: whole_numbers(values).notna())


def _within(domain: Domain) -> pa.Check:
    def test(values: Values) -> "pd.Series[bool]":
        numbers = whole_numbers(values)
        return numbers.isna() | fits(domain, numbers.to_numpy(dtype=float, na_value=float("nan")))

    if domain.codes is None:
        return _check("out-of-range", f"outside the range {domain.minimum} to {domain.maximum}", test)
    return _check("unknown-code", "a code that the problem doesn't define", test)


def _unique() -> pa.Check:
    def test(values: Values) -> "pd.Series[bool]":
        numbers = whole_numbers(values)
        return numbers.isna() | ~numbers.duplicated(keep=False)

    return _check("duplicate-identifier", "an identifier that is used more than once", test)


def _numbers(values: Values) -> Values:
    """The values as numbers, NaN for what isn't one; true, dates and lists are no numbers."""
    if pd.api.types.is_bool_dtype(values):
        return pd.Series(float("nan"), index=values.index)
    if pd.api.types.is_integer_dtype(values) or pd.api.types.is_float_dtype(values):
        return values
    plain = values.astype(object)
    is_plain = plain.map(_is_number)
    return pd.to_numeric(plain.where(is_plain).map(_float), errors="coerce")


def _is_number(value: object) -> bool:
    return isinstance(value, Real | Decimal) and value is not True and value is not False


def _float(value: object) -> object:
    return float(value) if isinstance(value, int | Decimal) else value


def _finding(frame: pd.DataFrame, error: SchemaError, files: tuple[tuple[str, int], ...]) -> Finding:
    rows = f"all {len(frame):,} rows"
    if error.reason_code is SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME:
        column = str(error.failure_cases)
        other = namesake(column, _names(frame))
        hint = "" if other is None else f"; there is {show(other)}, rename it"
        says = f"column {show(column)}: missing in {rows}{hint}"
        return Finding("error", column, "missing-column", len(frame), (), says)
    if error.reason_code is SchemaErrorReason.COLUMN_NOT_IN_SCHEMA:
        column = str(error.failure_cases)
        says = f"column {show(column)}: not in the problem definition, yet in {rows}; remove it"
        return Finding("error", column, "unexpected-column", len(frame), (), says)
    column, check = str(error.schema.name), cast(pa.Check, error.check)
    passed = cast("pd.Series[bool]", error.check_output)  # without the nulls that the check ignores
    bad = frame.loc[passed.index[~passed], column]
    examples = tuple(_examples(bad))
    count = f"{len(bad):,} row{'s' * (len(bad) != 1)}"
    such = f", such as {', '.join(examples)}" if examples else ""
    says = f"column {show(column)}: {check.error} in {count}{such} (first in {_place(int(bad.index[0]), files)})"
    return Finding("error", column, str(check.name), len(bad), examples, says)


def _place(row: int, files: tuple[tuple[str, int], ...]) -> str:
    for name, rows in files:
        if row < rows:
            return f"row {row + 1:,} of {show(name)}"
        row -= rows
    return f"row {row + 1:,}"


def _names(frame: pd.DataFrame) -> list[str]:
    return [str(column) for column in frame.columns]


def _examples(values: Values) -> Iterator[str]:
    distinct = dict.fromkeys(show(value) for value in values.dropna().head(1000))
    yield from list(distinct)[:EXAMPLES]
