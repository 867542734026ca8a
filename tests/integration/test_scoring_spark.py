"""The same scoring on a real local Spark: the same rows and the same scores, to the last bit."""

import csv
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.bundle.bundle import key_of
from ml.bundle.schema import BundleSchema
from ml.errors import InputRefused, MlopsError, ReleaseRefused
from ml.monitoring.profile import NumericColumn, Profile, merge, specs_of
from ml.problem import Problem
from ml.scoring.executor import Executor
from ml.scoring.job import Job, run
from ml.scoring.rows import RowReader
from ml.scoring.spark import _read as read_with_spark
from ml.scoring.spark import score_with_spark
from ml.store import Store
from tests.conftest import rows_of
from tests.spark import local_spark
from tests.spellings import ARROW, MISSING, NAME, REFUSED, TEXT, parquet, problem, wanted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = 3000
NANOSECONDS = pa.timestamp("ns", tz="UTC")


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SparkSession"]:
    with local_spark(tmp_path_factory.mktemp("spark"), **{"spark.sql.files.maxPartitionBytes": "20000"}) as made:
        yield made


@pytest.fixture
def frame(small_problem: Problem) -> pd.DataFrame:
    return rows_of(small_problem, ROWS).assign(id=np.arange(ROWS) + 7_000_000_000, name="n")


@pytest.fixture
def job(tmp_path: Path, store: Store, published: str) -> Job:
    return Job(
        input=str(tmp_path / "in"), output="", store_uri=store.uri, release=published, identifiers=("id", "year")
    )


def read(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder).sort_values(["id"], ignore_index=True)


def with_(job: Job, **changes: Any) -> Job:
    return Job(**{**vars(job), **changes})


def write(frame: pd.DataFrame, folder: Path, kind: str) -> None:
    """A dataset in folders by year, in four files."""
    for number, year in enumerate((2016, 2016, 2017, 2017)):
        rows = frame.iloc[number * ROWS // 4 : (number + 1) * ROWS // 4]
        (folder / f"year={year}").mkdir(parents=True, exist_ok=True)
        file = folder / f"year={year}" / f"{number}.{kind}"
        rows.to_parquet(file, row_group_size=200) if kind == "parquet" else rows.to_csv(file, index=False)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_spark_gives_the_same_rows_and_scores_to_the_bit(
    tmp_path: Path, spark: "SparkSession", frame: pd.DataFrame, job: Job, kind: str
) -> None:
    write(frame, tmp_path / "in", kind)
    run(with_(job, output=str(tmp_path / "here")))
    outcome = score_with_spark(spark, with_(job, output=str(tmp_path / "spark")))
    here, there = read(tmp_path / "here"), read(tmp_path / "spark")
    assert outcome.rows == ROWS
    assert len(list((tmp_path / "spark").glob("part-*.parquet"))) > 1
    assert list(there.columns) == ["id", "year", "score", "decision", "release"]
    pd.testing.assert_frame_equal(there.astype({"year": "int64"}), here, check_exact=True)
    with pytest.raises(InputRefused, match="holds something already"):
        score_with_spark(spark, with_(job, output=str(tmp_path / "spark")))


def test_a_bad_row_is_refused_or_set_aside(
    tmp_path: Path, spark: "SparkSession", frame: pd.DataFrame, job: Job
) -> None:
    frame.loc[[100, 2500], "AGEP"] = [150, -3]
    write(frame, tmp_path / "in", "parquet")
    with pytest.raises(InputRefused, match=r"id=70000\d+, year=201\d: column AGEP: expected an integer from 0 to 99"):
        score_with_spark(spark, with_(job, output=str(tmp_path / "spark")))
    outcome = score_with_spark(spark, with_(job, output=str(tmp_path / "spark"), bad_rows="aside"))
    run(with_(job, output=str(tmp_path / "here"), bad_rows="aside"))
    assert (outcome.rows, outcome.aside) == (ROWS - 2, 2)
    aside, wanted = (read(tmp_path / side / "_aside") for side in ("spark", "here"))
    for column in ("id", "row", "reasons"):
        assert aside[column].tolist() == wanted[column].tolist()
    assert read(tmp_path / "spark")["score"].tolist() == read(tmp_path / "here")["score"].tolist()


def verdicts(table: pa.Table, *, nullable: bool, is_text: bool) -> list[int | str]:
    """What rows count as by what Spark reads, in the order of their identifiers."""
    reader = RowReader(BundleSchema.of(problem(nullable=nullable)), ["id"])
    try:
        reader.demand(table.schema, "Spark", texts=table.schema.names if is_text else ())
    except InputRefused:
        return [REFUSED] * len(table)
    (batch,) = table.sort_by("id").combine_chunks().to_batches()
    checked = reader.check(batch, pa.schema([("id", pa.int64())]))
    values = [MISSING if np.isnan(row[0]) else int(row[0]) for row in checked.matrix]
    return [value if fits else REFUSED for value, fits in zip(values, checked.fits, strict=True)]


@pytest.mark.parametrize("nullable", [True, False])
def test_spark_reads_every_spelling_as_all_readers_do(tmp_path: Path, spark: "SparkSession", nullable: bool) -> None:
    rows = [[str(1000 + number), text, "1"] for number, text in enumerate(TEXT)]
    with (tmp_path / "in.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["id", "AGEP", "SEX"], *rows])
    read = read_with_spark(spark, str(tmp_path / "in.csv"), "csv").toArrow()
    found = verdicts(read, nullable=nullable, is_text=True)
    assert dict(zip(TEXT, found, strict=True)) == {text: wanted(counts, nullable) for text, counts in TEXT.items()}


# What Spark can't read, and a duration, which parquet stores as an integer: only Arrow knows that it is one.
UNREAD = [pa.types.is_float16, pa.types.is_decimal256, pa.types.is_time, pa.types.is_duration]


@pytest.mark.parametrize("nullable", [True, False])
def test_spark_reads_every_type_of_parquet_that_it_has_as_all_readers_do(
    tmp_path: Path, spark: "SparkSession", nullable: bool
) -> None:
    cases = [case for case in ARROW if not any(is_such(case[0]) for is_such in UNREAD) and case[0] != NANOSECONDS]
    assert len(cases) > 50
    columns = [pq.read_table(parquet(tmp_path, kind, value)).column(NAME) for kind, value, _ in cases]
    written = pa.table({"id": [7], "SEX": [1]} | {str(place): column for place, column in enumerate(columns)})
    pq.write_table(written, tmp_path / "in.parquet")
    read = read_with_spark(spark, str(tmp_path / "in.parquet"), "parquet").toArrow()
    for place, (kind, value, counts) in enumerate(cases):
        one = read.select(["id", "SEX", str(place)]).rename_columns(["id", "SEX", NAME])
        found = verdicts(one, nullable=nullable, is_text=False)
        assert (kind, value, found) == (kind, value, [wanted(counts, nullable)])


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "too few values": lambda content: content + b"1,2\n",
    "a line break": lambda content: content.replace(b",n\n", b',"n\nm"\n', 1),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_line_is_refused_with_a_sentence(
    tmp_path: Path, spark: "SparkSession", frame: pd.DataFrame, job: Job, broken: str
) -> None:
    (tmp_path / "in").mkdir()
    frame[:20].to_csv(tmp_path / "in" / "it.csv", index=False)
    (tmp_path / "in" / "it.csv").write_bytes(BROKEN[broken]((tmp_path / "in" / "it.csv").read_bytes()))
    with pytest.raises(InputRefused, match="in: a line has too few or too many values") as refused:
        score_with_spark(spark, with_(job, output=str(tmp_path / "out"), identifiers=("id",)))
    assert len(str(refused.value)) < 300


def test_identifiers_in_another_encoding_are_not_made_one(
    tmp_path: Path, spark: "SparkSession", frame: pd.DataFrame, job: Job
) -> None:
    (tmp_path / "in").mkdir()
    frame[:20].replace({"name": {"n": "é"}}).to_csv(tmp_path / "in" / "it.csv", index=False, encoding="latin-1")
    with pytest.raises(InputRefused, match="The identifiers name are not UTF-8"):
        score_with_spark(spark, with_(job, output=str(tmp_path / "out"), identifiers=("name",)))


def test_what_spark_can_not_read_is_told_in_its_words(
    tmp_path: Path, spark: "SparkSession", frame: pd.DataFrame, job: Job
) -> None:
    write(frame.astype({"AGEP": "float16"}), tmp_path / "in", "parquet")
    with pytest.raises(MlopsError, match=r"Illegal Parquet type: FIXED_LEN_BYTE_ARRAY \(FLOAT16\)\.$"):
        score_with_spark(spark, with_(job, output=str(tmp_path / "out")))


def test_a_bundle_that_is_altered_is_refused(
    tmp_path: Path,
    spark: "SparkSession",
    frame: pd.DataFrame,
    job: Job,
    store: Store,
    publish_version: Callable[[str], str],
) -> None:
    """By the driver when the store's is; by each worker when it was on the way."""
    write(frame, tmp_path / "in", "parquet")
    release = publish_version("5")  # one that no worker has loaded
    bundle = tmp_path / "bundle-5"
    files = {path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    name = next(name for name in files if name.endswith("model.pkl"))
    identifiers = pa.schema([("id", pa.int64())])
    altered, types = files | {name: b"other code"}, identifiers.serialize().to_pybytes()
    executor = Executor(release, altered, types, refuses=True, is_text=False)
    columns = "id long, score double, decision int, release string"
    rows = spark.read.parquet(str(tmp_path / "in")).mapInArrow(executor.scored, columns)
    with pytest.raises(Exception, match=f"{name} was altered"):
        rows.count()
    store.write(f"{key_of(job.release)}/{name}", b"other bytes")
    with pytest.raises(ReleaseRefused, match="was altered"):
        score_with_spark(spark, with_(job, output=str(tmp_path / "spark")))


def test_the_profiles_of_partitions_merge_to_that_of_the_whole(
    tmp_path: Path, spark: "SparkSession", frame: pd.DataFrame, small_problem: Problem
) -> None:
    whole = pl.from_pandas(frame.assign(score=np.linspace(0, 1, ROWS)))
    whole.write_parquet(tmp_path / "in.parquet", row_group_size=500)
    layout = Profile.layout(whole, specs_of(small_problem, "score"))

    def profiled(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            part = pl.DataFrame(pa.Table.from_batches([batch]))
            yield pa.RecordBatch.from_pydict({"profile": [Profile.of(part, layout).to_json()]})

    parts = spark.read.parquet(str(tmp_path / "in.parquet")).repartition(4).mapInArrow(profiled, "profile binary")
    profiles = [Profile.from_json(bytes(row.profile)) for row in parts.collect()]
    assert len(profiles) > 1
    merged, direct = reduce(merge, profiles), Profile.of(whole, layout)
    assert merged.rows == direct.rows == ROWS
    for name, column in direct.columns.items():
        found = merged.columns[name]
        assert found.frequencies.tolist() == column.frequencies.tolist()
        if isinstance(column, NumericColumn) and isinstance(found, NumericColumn):
            assert found.values == column.values
            assert found.moments.mean == pytest.approx(column.moments.mean, rel=1e-12)  # sums in another order
