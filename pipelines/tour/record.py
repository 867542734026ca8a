"""The tour's record: what was done, what came out, and the one page that shows it."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from infra.engine.version import VERSION
from ml.problem import load_problem
from pipelines._steps import say

__all__ = ["Record", "Step"]

OUTPUT_LINES = 60


@dataclass(frozen=True)
class Command:
    """A command line and the end of what it printed."""

    line: str
    output: str


@dataclass(frozen=True)
class Page:
    """A page that the step made, beside the tour's own."""

    title: str
    file: str


@dataclass
class Step:
    """One stop of the tour: why it is there, the commands, and the facts that were checked."""

    title: str
    why: str
    facts: list[str] = field(default_factory=list[str])
    commands: list[Command] = field(default_factory=list[Command])
    pages: list[Page] = field(default_factory=list[Page])
    seconds: float = 0.0
    failed: str = ""

    def saw(self, line: str, output: str) -> None:
        """Keep a command and its output."""
        self.commands.append(Command(line, "\n".join(output.strip().splitlines()[-OUTPUT_LINES:])))

    def page(self, title: str, file: Path) -> None:
        """Link a page that the step made."""
        self.pages.append(Page(title, str(file)))

    def fact(self, text: str, *, holds: bool = True) -> None:
        """State what was checked; RuntimeError when it doesn't hold."""
        if not holds:
            raise RuntimeError(f"This did not hold: {text}")
        self.facts.append(text)
        say(f"  {text}")


class Record:
    """All the steps, in order."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.figures: list[tuple[str, str]] = []
        self.ran: list[tuple[str, ...]] = []  # stack, release, version, state, since
        self._started = time.monotonic()

    @contextmanager
    def step(self, title: str, why: str) -> Generator[Step]:
        """Record one step, its time, and its failure."""
        step, started = Step(title, why), time.monotonic()
        self.steps.append(step)
        say(f"{len(self.steps)}. {title}")
        try:
            yield step
        except Exception as error:
            step.failed = str(error)
            raise
        finally:
            step.seconds = time.monotonic() - started

    def figure(self, value: str, label: str) -> None:
        """A number for the head of the page."""
        self.figures.append((value, label))

    def write(self, file: Path) -> None:
        """Write the page."""
        templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
        page = templates.get_template("report.html").render(
            steps=self.steps,
            failed=next((step.title for step in self.steps if step.failed), ""),
            figures=self.figures,
            ran=self.ran,
            total_s=time.monotonic() - self._started,
            folder=f"{file.parent}/",
            when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            version=VERSION,
            problem=load_problem(),
        )
        file.write_text(page, encoding="utf-8")
