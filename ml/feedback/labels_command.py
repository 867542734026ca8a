"""`mlops labels`."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ml.errors import MlopsError
from ml.problem import load_problem
from ml.runtime import Runtime
from ml.store import Store

if TYPE_CHECKING:
    from ml.feedback.labels import LabelReport

__all__ = ["labels"]

WAITING: Final = 4
WAITS: Final = "name a prediction that isn't in the log yet, and count once it is"


@click.group()
def labels() -> None:
    """Take in labels that arrive after their predictions were made.

    Example: mlops labels add --stack local-dev outcomes.csv
    """


@labels.command(epilog="Example: mlops labels add --stack local-dev outcomes.csv")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--stack", help="The stack whose predictions they are; by default the one that MLOPS_RUNTIME describes.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def add(file: Path, stack: str | None, as_json: bool) -> None:
    """Join the labels in FILE to the predictions in the log.

    FILE is parquet or CSV with the columns prediction_id, label and, where it is known, at (ISO 8601, UTC). Labels
    whose prediction isn't in the log yet wait for it. Rows that can't count, like doubled or conflicting ones, are
    reported and kept aside. The same file counts once.

    Exit code 4 when labels wait, 1 when none of the file counts.
    """
    store = Store(Runtime.load(stack).store_uri)
    from ml.feedback._incoming import from_file  # polars: not before the stack is known
    from ml.feedback.labels import add_labels
    from ml.trust.people import current_name

    report = add_labels(store, load_problem(), from_file(file), "file", current_name(), datetime.now(UTC))
    click.echo(report.model_dump_json(indent=2) if as_json else _as_text(report, file))
    if report.waiting:
        sys.exit(WAITING)
    if not report.accepted and set(report.rejected) != {"doubled"}:
        sys.exit(MlopsError.exit_code)


def _as_text(report: "LabelReport", file: Path) -> str:
    from ml.feedback.labels import MEANINGS

    again = "" if report.is_new else ", all taken in before"
    lines = [f"{file}: {report.accepted:,} of {report.rows:,} labels count{again}"]
    waiting = [("waiting", report.waiting, WAITS)] if report.waiting else []
    rejected = [(reason, count, MEANINGS[reason]) for reason, count in report.rejected.items()]
    for what, count, meaning in [*waiting, *rejected]:
        examples = ", ".join(report.examples.get(what, []))
        lines.append(f"  {what:<13}{count:>9,}  {meaning}" + (f", such as {examples}" if examples else ""))
    return "\n".join([*lines, *([f"Kept aside in {report.kept_in}"] if report.kept_in else [])])
