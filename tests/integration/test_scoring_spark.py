"""The same scoring on a real local Spark: the same rows and the same scores, to the last bit."""

from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ml.errors import InputRefused, ReleaseRefused
from ml.monitoring.profile import NumericColumn, Profile, merge, specs_of
from ml.problem import Problem
from ml.release.bundle import key_of
from ml.scoring.executor import Executor
from ml.scoring.job import Job, run
from ml.scoring.spark import score_with_spark
from ml.store import Store
from tests.conftest import rows_of
from tests.spark import local_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = 3000


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
    executor = Executor(release, files | {name: b"other code"}, identifiers.serialize().to_pybytes(), refuses=True)
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
