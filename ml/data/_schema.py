"""The problem definition as a pandera schema, and what pandera says as findings."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast

import pandas as pd

from ml.data._pandera import without_spark
from ml.data.findings import Finding, Stage, show
from ml.problem import Feature, Problem

with without_spark():
    import pandera.pandas as pa
    from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

__all__ = ["find", "whole_numbers"]

EXAMPLES: Final = 5
LARGEST_INTEGER: Final = 2**63

Values: TypeAlias = "pd.Series[Any]"
Test: TypeAlias = Callable[[Values], "pd.Series[bool]"]


def find(problem: Problem, frame: pd.DataFrame, stage: Stage, *, labelled: bool) -> list[Finding]:
    """The errors of `frame`, all at once; its column names must be unique and its index 0 to rows - 1."""
    schema = _predictions(problem, frame) if stage == "predictions" else _rows(problem, stage, labelled=labelled)
    try:
        with without_spark():
            schema.validate(frame, lazy=True)
    except SchemaErrors as refused:
        return [_finding(problem, frame, error) for error in refused.schema_errors]
    return []


def whole_numbers(values: Values) -> Values:
    """The values as numbers, NaN for what isn't a whole number that an int64 can hold."""
    if pd.api.types.is_signed_integer_dtype(values):
        return values
    numbers = _numbers(values)
    return numbers.where((numbers % 1 == 0) & (numbers.abs() < LARGEST_INTEGER))


def _rows(problem: Problem, stage: Stage, *, labelled: bool) -> pa.DataFrameSchema:
    columns = {feature.name: _feature(feature) for feature in problem.features}
    if stage != "features":
        target = [_whole(), _codes(set(problem.target.codes))]
        columns[problem.target.column] = _column(target, nullable=False, required=labelled)
        columns[problem.time] = _column([_whole()], nullable=False)
        columns[problem.identifier] = _column([_whole(), _unique()], nullable=False)
    return pa.DataFrameSchema(columns, strict=True)


def _feature(feature: Feature) -> pa.Column:
    if feature.kind == "numeric":
        return _column([_whole(), _range(feature.minimum, feature.maximum)], nullable=feature.nullable)
    return _column([_whole(), _codes(set(feature.codes))], nullable=feature.nullable)


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


def _whole() -> pa.Check:
    def test(values: Values) -> "pd.Series[bool]":
        whole = whole_numbers(values).notna()
        # In a column of text the values that aren't numbers are to blame, or else the column's type.
        return ~whole if whole.all() and pd.api.types.is_string_dtype(values) else whole

    return _check("not-a-whole-number", "not a whole number", test)


def _range(minimum: int, maximum: int) -> pa.Check:
    def test(values: Values) -> "pd.Series[bool]":
        numbers = _numbers(values)
        return numbers.isna() | numbers.between(minimum, maximum)

    return _check("out-of-range", f"outside the range {minimum} to {maximum}", test)


def _codes(codes: set[int]) -> pa.Check:
    def test(values: Values) -> "pd.Series[bool]":
        numbers = whole_numbers(values)
        return numbers.isna() | numbers.isin(list(codes))

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
    is_plain = plain.map(lambda value: isinstance(value, str | int | float | Decimal) and not isinstance(value, bool))
    return pd.to_numeric(plain.where(is_plain).map(_float), errors="coerce")


def _float(value: object) -> object:
    return float(value) if isinstance(value, int | Decimal) else value


def _finding(problem: Problem, frame: pd.DataFrame, error: SchemaError) -> Finding:
    rows = f"all {len(frame):,} rows"
    if error.reason_code is SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME:
        column = str(error.failure_cases)
        return Finding("error", column, "missing-column", len(frame), (), f"column {show(column)}: missing in {rows}")
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
    says = f"column {show(column)}: {check.error} in {count}{such} (first in row {bad.index[0] + 1:,})"
    return Finding("error", column, str(check.name), len(bad), examples, says)


def _examples(values: Values) -> Iterator[str]:
    distinct = dict.fromkeys(show(value) for value in values.dropna().head(1000))
    yield from list(distinct)[:EXAMPLES]
