"""Bulk scoring from S3 to S3, in moto's server: the same as on a folder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.problem import Problem
from ml.scoring.job import Job, Share, run
from ml.store import Store
from tests.aws import aws
from tests.conftest import rows_of

ROWS = 1000


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of an empty bucket on this machine."""
    import s3fs

    with aws(monkeypatch, "eu-central-1"):
        s3fs.S3FileSystem().mkdir("lake", region_name="eu-central-1")
        yield "s3://lake"


def test_s3_gets_the_same_parts(
    tmp_path: Path, small_problem: Problem, store: Store, published: str, bucket: str
) -> None:
    import s3fs

    rows_of(small_problem, ROWS).assign(id=np.arange(ROWS)).to_parquet(tmp_path / "in.parquet", row_group_size=200)
    s3 = s3fs.S3FileSystem(skip_instance_cache=True)
    s3.put_file(str(tmp_path / "in.parquet"), "lake/in/in.parquet")

    def job(source: str, output: str, share: Share) -> Job:
        return Job(source, output, store.uri, published, ("id",), rows_per_part=200, share=share)

    assert not run(job(f"{bucket}/in", f"{bucket}/out", Share(2, 2))).is_complete
    s3.invalidate_cache()
    assert not s3.exists("lake/out")
    assert run(job(f"{bucket}/in", f"{bucket}/out", Share(1, 2))).is_complete
    run(job(str(tmp_path / "in.parquet"), str(tmp_path / "out"), Share()))
    s3.invalidate_cache()
    found = {Path(key).name: s3.cat_file(key) for key in s3.find("lake/out")}
    local = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert found.keys() == local.keys()
    assert all(found[name] == local[name] for name in local if name.endswith(".parquet"))
    assert not s3.exists("lake/.out.scoring")
    assert run(job(f"{bucket}/in", f"{bucket}/out", Share())).rows_scored_now == 0
    assert pd.read_parquet(tmp_path / "out")["id"].tolist() == list(range(ROWS))
