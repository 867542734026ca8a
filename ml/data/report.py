"""The quality report as a page that a person reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ml.data.findings import QualityReport

__all__ = ["render"]

# Names and values come from files of unknown origin: everything is escaped.
_PAGES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(reports: Sequence[QualityReport]) -> str:
    """One self-contained HTML page: the verdicts first, then the findings, then each column's distribution."""
    return _PAGES.get_template("report.html").render(reports=reports)
