"""Score an input on this machine: all of it, or one worker's share; go on where an earlier process was killed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ml.errors import InputRefused, MlopsError
from ml.inputs.files import Format
from ml.scoring.model import BulkModel, verified_bundle
from ml.scoring.open import open_source
from ml.scoring.output import ASIDE, Output, Plan, Published
from ml.scoring.parts import BadRows, PartScorer
from ml.scoring.rows import RowReader
from ml.scoring.source import Part, Source
from ml.store import Store

__all__ = ["Job", "Outcome", "Share", "run"]

BATCH_ROWS: Final = 65_536
RESERVED: Final = ("score", "decision", "release", "file", "row", "reasons")


@dataclass(frozen=True)
class Share:
    """The worker `index`, from 1, of `count`: it does every count-th part."""

    index: int = 1
    count: int = 1

    def has(self, part: Part) -> bool:
        """Whether the part is this worker's."""
        return part.number % self.count == self.index - 1


@dataclass(frozen=True)
class Job:
    """What to score, by which release of which store, to where."""

    input: str
    output: str
    store_uri: str
    release: str
    identifiers: tuple[str, ...]
    format: Format | None = None
    bad_rows: BadRows = "refuse"
    rows_per_part: int = 1_000_000
    share: Share = field(default_factory=Share)
    restart: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a job: of all its parts, `done` are finished, `resumed` of them by an earlier process.

    `rows` and `aside` count all that are finished. `is_complete` says that the output is published.
    """

    release: str
    model: str
    version: str
    output: str
    parts: int
    done: int
    resumed: int
    rows: int
    aside: int
    rows_scored_now: int
    seconds: float
    is_complete: bool

    def as_json(self) -> dict[str, Any]:
        """The outcome as JSON's types."""
        return dict(vars(self))

    def as_text(self) -> str:
        """The outcome for a person."""
        before = f", {self.resumed:,} of them before" if self.resumed else ""
        rate = f", {self.rows_scored_now / self.seconds:,.0f} rows/s" if self.rows_scored_now else ""
        lines = [
            f"release   {self.release} ({self.model}, version {self.version})",
            f"rows      {self.rows - self.aside:,} scored, {self.aside:,} set aside",
            f"parts     {self.done:,} of {self.parts:,} done{before}",
            f"time      {self.seconds:.1f} s{rate}",
            f"output    {self.output}{'' if self.is_complete else ', as soon as the other shares are done'}",
        ]
        if self.aside and self.is_complete:
            lines.append(f"aside     {self.output}/{ASIDE}")
        return "\n".join(lines)


Progress = Callable[[int, int], None]
"""Called with the weight that is done and the weight of all."""


def run(job: Job, progress: Progress = lambda _done, _all: None) -> Outcome:
    """Score; safe to repeat after a kill at any point.

    InputRefused for an input that can't be read, for a bad row where those are refused, and for an output that holds
    something else; ReleaseRefused for a release whose bytes or signature are not what they must be.
    """
    started = time.monotonic()
    output = Output(job.output)
    if wrong := set(job.identifiers) & set(RESERVED):
        raise InputRefused(f"An identifier can't be called {wrong.pop()}: that is a column of the output.")
    with verified_bundle(Store(job.store_uri), job.release) as (bundle, manifest):
        model = BulkModel.load(bundle, manifest)
        published = output.published()
        reader = RowReader(model.schema, job.identifiers)
        version = None if published or job.restart else output.stated_version()
        source = open_source(job.input, reader, job.rows_per_part, job.format, version)
        if f"{output.uri}/".startswith(f"{_absolute(job.input)}/"):
            raise InputRefused(f"The output {output.uri} lies in the input {job.input}: it would be its own input.")
        plan = _plan(job, source)
        if published:
            return _again(output, plan, published, time.monotonic() - started)
        output.begin(plan, restart=job.restart)
        before = len(output.done())
        scorer = PartScorer(source, model, reader, output, job.bad_rows, BATCH_ROWS)
        try:
            scored_now = _score(source, output, scorer, job.share, progress)
            done = output.done()
            rows, aside = sum(d.rows for d in done.values()), sum(d.aside for d in done.values())
            if is_complete := len(done) == len(source.parts):
                output.publish(_result(plan, source, model, rows, aside))
        except OSError as error:
            if published := output.published():  # another worker did the same meanwhile
                return _again(output, plan, published, time.monotonic() - started)
            raise MlopsError(f"{output.uri} can't be written: {error}. The same command goes on from there.") from error
    if not is_complete and (published := output.published()):
        return _again(output, plan, published, time.monotonic() - started)
    return Outcome(
        release=model.release,
        model=manifest.name,
        version=manifest.version,
        output=output.uri,
        parts=len(source.parts),
        done=len(done),
        resumed=before,
        rows=rows,
        aside=aside,
        rows_scored_now=scored_now,
        seconds=time.monotonic() - started,
        is_complete=is_complete,
    )


def _score(source: Source, output: Output, scorer: PartScorer, share: Share, progress: Progress) -> int:
    finished = output.done()
    mine = [part for part in source.parts if share.has(part)]
    whole = sum(part.weight for part in mine)
    weight = sum(part.weight for part in mine if part.number in finished)
    rows = 0
    progress(weight, whole)
    for part in mine:
        if part.number in finished:
            continue
        done = scorer.score(part)
        rows += done.rows - done.aside
        weight += part.weight
        progress(weight, whole)
    return rows


def _absolute(uri: str) -> str:
    return uri.rstrip("/") if "://" in uri else str(Path(uri).absolute())


def _plan(job: Job, source: Source) -> Plan:
    return Plan(
        release=job.release,
        input=source.uri,
        format=source.format,
        version=source.version,
        identifiers={column.name: str(column.type) for column in source.schema},
        parts=source.parts,
    )


def _result(plan: Plan, source: Source, model: BulkModel, rows: int, aside: int) -> Published:
    return Published(
        release=model.release,
        model=model.manifest.name,
        version=model.manifest.version,
        threshold=model.manifest.decision_threshold,
        outcomes={str(code): meaning for code, meaning in model.schema.outcomes.items()},
        input=source.uri,
        format=source.format,
        input_version=source.version,
        identifiers={column.name: str(column.type) for column in source.schema},
        rows=rows,
        scored=rows - aside,
        aside=aside,
        parts=len(source.parts),
        plan=plan.digest,
    )


def _again(output: Output, plan: Plan, published: Published, seconds: float) -> Outcome:
    """The job was done before; InputRefused when what is at the output is another one's."""
    if published.plan != plan.digest:
        raise InputRefused(
            f"{output.uri} holds the scores of {published.input} by {published.release}, as it was then and with the "
            "options of then. Name another output, or delete it."
        )
    output.tidy()
    return Outcome(
        release=published.release,
        model=published.model,
        version=published.version,
        output=output.uri,
        parts=published.parts,
        done=published.parts,
        resumed=published.parts,
        rows=published.rows,
        aside=published.aside,
        rows_scored_now=0,
        seconds=seconds,
        is_complete=True,
    )
