"""What runs in Spark's Python workers: Arrow batches in, Arrow batches out; nothing here needs Spark itself."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from ml.bundle.bundle import verify_folder
from ml.bundle.schema import SCHEMA_FILE, BundleSchema
from ml.columns.arrow import is_text
from ml.errors import InputRefused
from ml.scoring.model import SCORE_COLUMNS, BulkModel
from ml.scoring.parts import ASIDE_COLUMNS, NAMED_MISTAKES, with_scores
from ml.scoring.rows import Checked, RowReader
from ml.scratch import scratch_folder

__all__ = ["Executor", "said"]

BATCH_ROWS: Final = 65_536
REFUSAL: Final = re.compile(r"mlops-refused:(\{.*?\}):mlops-refused")


def said(error: Exception) -> str | None:
    """The sentence of a refusal that comes back through Spark, None where the error is another one."""
    found = REFUSAL.search(str(error))
    return json.loads(found[1])["says"] if found else None


class Executor:
    """Scores batches; pickled to the workers with the bundle's `files`, which each of them verifies."""

    def __init__(self, release: str, files: dict[str, bytes], identifiers: bytes, refuses: bool, is_text: bool) -> None:
        self._release = release
        self._files = files
        self._identifiers = identifiers
        self._refuses = refuses
        self._is_text = is_text

    @property
    def identifiers(self) -> pa.Schema:
        """The identifiers' names and types."""
        return pa.ipc.read_schema(pa.py_buffer(self._identifiers))

    @property
    def scored_schema(self) -> pa.Schema:
        """What `scored` gives."""
        return pa.schema([*self.identifiers, *SCORE_COLUMNS])

    @property
    def aside_schema(self) -> pa.Schema:
        """What `aside` gives."""
        return pa.schema([*self.identifiers, *(pa.field(*column) for column in ASIDE_COLUMNS)])

    def scored(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The scores of the rows that fit; refuses the others."""
        model = _model(_Bundle(self._release, self._files))
        reader = RowReader(model.schema, self.identifiers.names)
        for batch in _rebatched(batches):
            checked = reader.check(batch, self.identifiers)
            if self._is_text:
                _require_utf_8(checked.identifiers)
            if self._refuses and checked.mistakes:
                raise _refusal(checked)
            yield with_scores(model, checked)

    def aside(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows that don't fit, and why."""
        reader = RowReader(BundleSchema.parse(self._files[SCHEMA_FILE]), self.identifiers.names)
        for batch in batches:
            checked = reader.check(batch, self.identifiers)
            reasons: dict[int, list[str]] = {}
            for mistake in checked.mistakes:
                reasons.setdefault(mistake.row, []).append(str(mistake))
            kept = pa.array(list(reasons), pa.int64())
            yield pa.RecordBatch.from_arrays(
                [
                    *(column.take(kept) for column in checked.identifiers.columns),
                    batch.column("file").take(kept),
                    batch.column("row").take(kept),
                    pa.array(["; ".join(says) for says in reasons.values()], pa.string()),
                ],
                schema=self.aside_schema,
            )


class _Bundle:
    """A release's files; equal by its digest, which is what they are verified against."""

    def __init__(self, release: str, files: dict[str, bytes]) -> None:
        self.release = release
        self.files = files

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bundle) and other.release == self.release

    def __hash__(self) -> int:
        return hash(self.release)


@cache
def _model(bundle: _Bundle) -> BulkModel:
    """The model, loaded once a worker, after every byte was verified: loading a pickle runs what is in it."""
    with scratch_folder() as folder:
        for name, content in bundle.files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return BulkModel.load(folder, verify_folder(folder, bundle.release))


def _rebatched(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of at least BATCH_ROWS, but for the last: Spark's own are small."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(each.num_rows for each in held) >= BATCH_ROWS:
            yield from pa.Table.from_batches(held).combine_chunks().to_batches()
            held = []
    if held:
        yield from pa.Table.from_batches(held).combine_chunks().to_batches()


def _require_utf_8(identifiers: pa.RecordBatch) -> None:
    """InputRefused for what Spark put a mark for: it reads CSV of any encoding, and two names could become one."""
    for name, column in zip(identifiers.schema.names, identifiers.columns, strict=True):
        if is_text(column.type) and pc.any(pc.match_substring(column, "\ufffd")).as_py():
            raise _marked(f"The identifiers {name} are not UTF-8, so there is no output. Save the files as UTF-8.")


def _refusal(checked: Checked) -> InputRefused:
    lines: list[str] = []
    for mistake in checked.mistakes[:NAMED_MISTAKES]:
        row = {name: checked.identifiers.column(name)[mistake.row].as_py() for name in checked.identifiers.schema.names}
        lines.append(f"the row with {', '.join(f'{name}={value}' for name, value in row.items())}: {mistake}")
    if hidden := len(checked.mistakes) - len(lines):
        lines.append(f"and {hidden:,} more in the rows near them")
    return _marked(
        "Some rows don't fit the release, so there is no output.\n  "
        + "\n  ".join(lines)
        + "\nMend them, or score the others with --bad-rows aside."
    )


def _marked(says: str) -> InputRefused:
    """A refusal that `said` finds in what Spark makes of it."""
    return InputRefused(f"mlops-refused:{json.dumps({'says': says})}:mlops-refused")
