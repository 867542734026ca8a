"""`mlops data`: is a data file what the problem definition says?"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ml.data.findings import QualityReport
from ml.errors import InputRefused

__all__ = ["data"]


@click.group()
def data() -> None:
    """Check data files against the problem definition.

    Example: mlops data check data/acs-employment-ma/2015.parquet
    """


@data.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--unlabelled", is_flag=True, help="The target may be missing: data to score, not to train on.")
@click.option(
    "--report",
    "page",
    metavar="OUT.html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page to read.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the reports as JSON, a list with one per file.")
def check(files: tuple[Path, ...], unlabelled: bool, page: Path | None, as_json: bool) -> None:
    """Check raw data files, parquet or CSV, or folders of them: types, ranges, codes, identifiers, target leaks.

    A folder is one table, of the files that `mlops score` would read: partitioned or not, or a Delta table.

    Exit codes: 0 all files passed, 2 one was refused or can't be read. The page also shows what was refused.

    Example: mlops data check new.csv --unlabelled --report quality.html
    """
    from ml.data.read import examine  # pandas and pandera take a second, which --help need not
    from ml.problem import load_problem

    reports = [examine(load_problem(), file, labelled=not unlabelled) for file in files]
    if page is not None:
        _write(page, reports)
    if as_json:
        click.echo(json.dumps([report.as_dict() for report in reports], indent=2))
    else:
        for report in reports:
            _print(report)
    if not all(report.passed for report in reports):
        sys.exit(InputRefused.exit_code)


def _print(report: QualityReport) -> None:
    verdict = click.style("passed", fg="green") if report.passed else click.style("refused", fg="red")
    click.echo(f"{report.source}: {verdict}, {report.rows:,} rows, {len(report.columns)} columns, {report.digest}")
    for finding in (*report.errors, *report.warnings):
        click.echo(f"  {click.style(finding.severity, bold=True)}: {finding.message}")


def _write(page: Path, reports: Sequence[QualityReport]) -> None:
    from ml.data.report import render

    temporary = page.with_name(f".{page.name}.{os.getpid()}")
    try:
        temporary.write_text(render(reports), encoding="utf-8")
        temporary.replace(page)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputRefused(f"The report {page} can't be written: {error.strerror}.") from error
    click.echo(f"The report is in {page}.", err=True)
