"""Score on Spark what outgrows a machine: the same checks and the same scores, to the bit, by `mapInArrow`.

The bundle goes to the executors in the function itself, which Spark broadcasts; every Python worker verifies it against
the release's digest before it loads the model, once. No row comes to the driver. The package must be installed on the
executors, as a wheel.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from ml.bundle.schema import SCHEMA_FILE, BundleSchema
from ml.errors import InputRefused, MlopsError
from ml.inputs.files import SUFFIXES, Format, find_files
from ml.scoring.executor import Executor, said
from ml.scoring.job import Job
from ml.scoring.model import verified_bundle
from ml.scoring.output import ASIDE
from ml.scoring.rows import RowReader, identifier_type
from ml.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["SparkOutcome", "score_with_spark", "session"]

SAMPLE_ROWS: Final = 1000
CONDITION: Final = re.compile(r"\[[A-Z_.]+\] (.*?)\.?(?: +SQLSTATE: \w+)?$", re.MULTILINE)
MALFORMED: Final = re.compile(
    r"\[MALFORMED_CSV_RECORD\] Malformed CSV record: (.*?)(?: +SQLSTATE: \w+)?$", re.MULTILINE
)


@dataclass(frozen=True)
class SparkOutcome:
    """What became of a job on Spark: rows in the output, and rows set aside (None where bad rows are refused)."""

    release: str
    model: str
    version: str
    output: str
    rows: int
    aside: int | None
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The outcome as JSON's types."""
        return dict(vars(self))

    def as_text(self) -> str:
        """The outcome for a person."""
        aside = "" if self.aside is None else f", {self.aside:,} set aside in {self.output}/{ASIDE}"
        return "\n".join(
            [
                f"release   {self.release} ({self.model}, version {self.version})",
                f"rows      {self.rows:,} scored{aside}",
                f"time      {self.seconds:.1f} s, on Spark",
                f"output    {self.output}",
            ]
        )


def session() -> "SparkSession":
    """The session of `spark-submit` or a notebook; on a plain machine one of its own, on all cores."""
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise MlopsError("PySpark is not installed; install the extra `spark`.") from error
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # the workers need these packages too
    return SparkSession.builder.appName("mlops").getOrCreate()


def score_with_spark(spark: "SparkSession", job: Job) -> SparkOutcome:
    """Score `job.input` into `job.output`, both as Spark reads and writes them; the order of rows is Spark's.

    Parts and shares are Spark's matter. InputRefused for missing columns, bad rows where they are refused, and an
    output that holds something.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    started = time.monotonic()
    mode = _mode(job.output)
    with verified_bundle(Store(job.store_uri), job.release) as (folder, manifest):
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        reader = RowReader(BundleSchema.parse(files[SCHEMA_FILE]), job.identifiers)
    format_ = job.format or _format(job.input)
    try:
        frame = _read(spark, job.input, format_)
        identifiers = _identifiers(frame, reader, job.input, is_text=format_ == "csv")
        executor = Executor(
            job.release, files, identifiers.serialize().to_pybytes(), job.bad_rows == "refuse", format_ == "csv"
        )
        rows = _write(frame.select(*_quoted(reader.columns)), executor.scored, executor.scored_schema, job.output, mode)
        aside = None
        if job.bad_rows == "aside":
            located = frame.select(*_quoted(reader.columns), *_places(format_))
            aside = _write(located, executor.aside, executor.aside_schema, f"{job.output.rstrip('/')}/{ASIDE}", mode)
    except (PySparkException, Py4JJavaError) as error:
        if says := said(error):
            raise InputRefused(says) from error
        if malformed := MALFORMED.search(str(error)):
            raise InputRefused(f"{job.input}: a line has too few or too many values: {malformed[1][:100]}") from error
        raise MlopsError(f"Spark could not score {job.input} into {job.output}: {_causes(error)}.") from error
    seconds = time.monotonic() - started
    return SparkOutcome(job.release, manifest.name, manifest.version, job.output, rows, aside, seconds)


def _causes(error: Exception) -> str:
    """What Spark says of each cause, without the stacks between them."""
    causes = dict.fromkeys(CONDITION.findall(str(error)))
    return "; ".join(causes) or str(error).splitlines()[0]


def _mode(output: str) -> str:
    """How to write: what is there is never overwritten, but for the empty folder that a failed run leaves."""
    try:
        taken = next(Store(output).list(), None)
    except Exception:  # a kind of URI that Spark knows alone: let it look
        return "errorifexists"
    if taken is not None:
        raise InputRefused(f"{output} holds something already. Name another output, or delete it.")
    return "overwrite"


def _format(uri: str) -> Format:
    try:
        return find_files(uri).format
    except InputRefused:
        if kind := SUFFIXES.get(PurePosixPath(uri).suffix.lower()):
            return kind
        raise


def _read(spark: "SparkSession", uri: str, format_: Format) -> "DataFrame":
    if format_ != "csv":
        return spark.read.format(format_).load(uri)
    options: dict[str, Any] = {"header": True, "mode": "FAILFAST", "enforceSchema": False, "columnPruning": False}
    # A line with too few or too many values is only noticed when every column is read.
    return spark.read.options(**options).csv(uri)


def _identifiers(frame: "DataFrame", reader: RowReader, uri: str, *, is_text: bool) -> pa.Schema:
    """The identifiers' types, after the columns were found to be there."""
    from pyspark.sql.pandas.types import to_arrow_schema

    schema = to_arrow_schema(frame.schema)
    reader.demand(schema, uri, texts=schema.names if is_text else ())
    kept = pa.schema([schema.field(name) for name in reader.identifiers])
    if not any(pa.types.is_string(field.type) for field in kept):
        return kept
    first = frame.select(*_quoted(reader.identifiers)).limit(SAMPLE_ROWS).toArrow()
    return pa.schema([(name, identifier_type(first.column(name).combine_chunks())) for name in kept.names])


def _quoted(names: "Iterable[str]") -> list[str]:
    return [f"`{name.replace('`', '``')}`" for name in names]


def _places(format_: Format) -> list[Any]:
    """Where a row is: Spark numbers the rows of parquet files alone."""
    from pyspark.sql import functions as F  # noqa: N812 # its customary name

    row = F.lit(None) if format_ == "csv" else F.col("_metadata.row_index")
    return [F.col("_metadata.file_path").alias("file"), row.cast("long").alias("row")]


def _write(
    frame: "DataFrame",
    function: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    schema: pa.Schema,
    output: str,
    mode: str,
) -> int:
    """Write what `function` makes of the frame; how many rows that were."""
    from pyspark.sql import Observation
    from pyspark.sql import functions as F  # noqa: N812
    from pyspark.sql.pandas.types import from_arrow_schema

    counted = Observation()
    made = frame.mapInArrow(function, from_arrow_schema(schema))
    made.observe(counted, F.count(F.lit(1)).alias("rows")).write.mode(mode).parquet(output)
    return int(counted.get["rows"])
