"""The quality report as a page that a person reads."""

from collections.abc import Sequence

from ml.data.quality import QualityReport

__all__ = ["render"]


def render(reports: Sequence[QualityReport]) -> str:
    """One self-contained HTML page: the verdicts first, then the findings, then each column's distribution."""
    return ""
