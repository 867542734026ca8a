"""What a quality check has to say: findings, column statistics, the report, and the refusal."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from ml.errors import InputRefused

__all__ = ["ColumnStatistics", "DataRefused", "Finding", "QualityReport", "Stage", "show"]

Stage = Literal["raw", "cleaned", "features", "predictions"]
LONGEST_MESSAGE: Final = 20  # findings; the report holds them all
LONGEST_VALUE: Final = 40  # characters


def show(value: object) -> str:
    """A value or a column's name from outside, quoted, shortened and without control characters."""
    text = ascii(value) if isinstance(value, str) else ascii(str(value))[1:-1]
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


@dataclass(frozen=True)
class Finding:
    """One broken rule: in which column (None: the file as a whole), in how many rows, with a few of the values."""

    severity: Literal["error", "warning"]
    column: str | None
    rule: str
    count: int
    examples: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class ColumnStatistics:
    """One column: its nulls, distinct values and range, and `counts`, the rows of each code or of each bin.

    The numbers leave out what isn't one; an identifier has no counts.
    """

    name: str
    title: str
    kind: Literal["identifier", "codes", "numbers"]
    dtype: str
    nulls: int
    distinct: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    counts: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class QualityReport:
    """What the check of one frame found; `digest` is the file's where there is one."""

    problem: str
    source: str
    stage: Stage
    rows: int
    columns: tuple[ColumnStatistics, ...]
    findings: tuple[Finding, ...]
    digest: str | None = None

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that refuse the data."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that a person should know of."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def passed(self) -> bool:
        """Whether nothing refuses the data."""
        return not self.errors

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON's types."""
        return {"passed": self.passed, **asdict(self)}


class DataRefused(InputRefused):
    """Data isn't what the problem definition says; the message has one line per error: file, column, count."""

    def __init__(self, source: str, findings: Sequence[Finding]) -> None:
        self.source = source
        self.findings = tuple(findings)
        lines = [f"{source}: {finding.message}" for finding in self.findings[:LONGEST_MESSAGE]]
        if hidden := len(self.findings) - len(lines):
            lines.append(f"{source}: and {hidden:,} more errors; `mlops data check --report` shows them all")
        count = len(self.findings)
        super().__init__("\n  ".join([f"The data is refused, with {count:,} error{'s' * (count != 1)}.", *lines]))
