"""One part, from its rows to its files: scores, and the rows that are set aside with the reason."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from ml.errors import InputRefused
from ml.inputs.files import place
from ml.scoring.model import SCORE_COLUMNS, BulkModel
from ml.scoring.output import ASIDE, Done, Output
from ml.scoring.rows import Checked, Mistake, RowReader
from ml.scoring.source import Batch, Part, Source

__all__ = ["ASIDE_COLUMNS", "NAMED_MISTAKES", "BadRows", "PartScorer", "refused", "with_scores"]

BadRows = Literal["refuse", "aside"]
ASIDE_COLUMNS: Final = [("file", pa.string()), ("row", pa.int64()), ("reasons", pa.string())]
NAMED_MISTAKES: Final = 5


def with_scores(model: BulkModel, checked: Checked) -> pa.RecordBatch:
    """The identifiers and scores of the rows that fit."""
    kept = checked.identifiers
    matrix = checked.matrix
    if not checked.fits.all():
        kept, matrix = kept.filter(pa.array(checked.fits)), matrix[checked.fits]
    scored = model.score(matrix)
    return pa.RecordBatch.from_arrays(
        [*kept.columns, *scored.columns], schema=pa.schema([*kept.schema, *scored.schema])
    )


def refused(where: str, mistakes: list[tuple[int, str]]) -> InputRefused:
    """What a bad row costs where none is allowed; `mistakes` are row numbers and what is wrong."""
    lines = [f"{where}: row {row}, {says}" for row, says in mistakes[:NAMED_MISTAKES]]
    if hidden := len(mistakes) - len(lines):
        lines.append(f"{where}: and {hidden:,} more in the rows near them")
    text = "\n  ".join(lines)
    return InputRefused(
        f"Some rows don't fit the release, so there is no output. Rows count from 0.\n  {text}\n"
        "Mend them, or score the others with --bad-rows aside."
    )


class PartScorer:
    """Scores parts of a source into an output."""

    def __init__(
        self, source: Source, model: BulkModel, reader: RowReader, output: Output, bad_rows: BadRows, batch_rows: int
    ) -> None:
        self._source = source
        self._model = model
        self._reader = reader
        self._output = output
        self._bad_rows: BadRows = bad_rows
        self._batch_rows = batch_rows
        self._schema = pa.schema([*source.schema, *SCORE_COLUMNS])
        self._aside_schema = pa.schema([*source.schema, *(pa.field(*column) for column in ASIDE_COLUMNS)])

    def score(self, part: Part) -> Done:
        """Write a part; InputRefused for a bad row, with nothing of the part written, unless such are set aside."""
        rows = aside = 0
        name = f"part-{part.number:06}.parquet"
        with ExitStack() as files:  # what is opened last is there first: no part without what was set aside of it
            scores, others = files.enter_context(self._writer(name, self._schema)), None
            for scored, bad in self._batches(part):
                rows += scored.num_rows + bad.num_rows
                aside += bad.num_rows
                scores.write_batch(scored)
                if bad.num_rows:
                    others = others or files.enter_context(self._writer(f"{ASIDE}/{name}", self._aside_schema))
                    others.write_batch(bad)
        done = Done(part.number, rows, aside)
        self._output.finish(done)
        return done

    @contextmanager
    def _writer(self, name: str, schema: pa.Schema) -> Generator[pq.ParquetWriter]:
        with self._output.writing(name) as file, pq.ParquetWriter(file, schema) as writer:
            yield writer

    def _batches(self, part: Part) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        for batch in self._source.read(part, self._batch_rows):
            checked = self._reader.check(batch.rows, self._source.schema)
            if self._bad_rows == "refuse" and (batch.broken or checked.mistakes):
                raise refused(place(self._source.uri, part.file), self._located(part, batch, checked.mistakes))
            yield with_scores(self._model, checked), self._aside(part, batch, checked)

    def _located(self, part: Part, batch: Batch, mistakes: list[Mistake]) -> list[tuple[int, str]]:
        first = self._source.first_row(part)
        found = [(first + number, says) for number, says in batch.broken]
        found += [(first + int(batch.numbers[mistake.row]), str(mistake)) for mistake in mistakes]
        return sorted(found, key=lambda mistake: mistake[0])

    def _aside(self, part: Part, batch: Batch, checked: Checked) -> pa.RecordBatch:
        """The bad rows of a batch: their identifiers, where they are, and everything that is wrong with each."""
        reasons: dict[int, list[str]] = {}
        for mistake in checked.mistakes:
            reasons.setdefault(mistake.row, []).append(str(mistake))
        if not reasons and not batch.broken:
            return pa.RecordBatch.from_pylist([], schema=self._aside_schema)
        first = self._source.first_row(part)
        rows = [
            {name: checked.identifiers.column(name)[row] for name in self._source.schema.names}
            | {"file": part.file, "row": first + int(batch.numbers[row]), "reasons": "; ".join(says)}
            for row, says in reasons.items()
        ]
        rows += [{"file": part.file, "row": first + number, "reasons": says} for number, says in batch.broken]
        return pa.RecordBatch.from_pylist(sorted(rows, key=lambda row: row["row"]), schema=self._aside_schema)
