"""Bulk scoring of ever more rows takes no more memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from ml.problem import Problem
from ml.store import Store
from tests.conftest import rows_of

FEW, MANY = 150_000, 1_500_000
# The many rows as the model takes them are 204 MB; as a table of pandas they are more.
ROOM_MB = 60
CHILD = """
import sys
from pathlib import Path
from ml.scoring.job import Job, run
source, output, store, release = sys.argv[1:]
job = Job(input=source, output=output, store_uri=store, release=release, identifiers=("id",), rows_per_part=200_000)
print(run(job).rows, next(line.split()[1] for line in Path("/proc/self/status").open() if line.startswith("VmHWM")))
"""


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_memory_does_not_grow_with_the_input(
    tmp_path: Path, small_problem: Problem, store: Store, published: str, kind: str
) -> None:
    peaks: list[float] = []
    for count in (FEW, MANY):
        rows = pd.concat([rows_of(small_problem, FEW)] * (count // FEW)).assign(id=np.arange(count))
        table = pa.Table.from_pandas(rows, preserve_index=False)
        source = tmp_path / f"{count}.{kind}"
        if kind == "csv":
            pacsv.write_csv(table, source)
        else:
            pq.write_table(table, source, row_group_size=count)  # all in one group: the worst case
        del rows, table
        command = [sys.executable, "-c", CHILD, str(source), str(tmp_path / f"out-{count}"), store.uri, published]
        child = subprocess.run(command, capture_output=True, text=True, check=True)
        done, peak_kb = child.stdout.split()
        assert int(done) == count
        peaks.append(int(peak_kb) / 1024)
    assert peaks[1] - peaks[0] < ROOM_MB, f"{peaks[0]:.0f} MB for {FEW:,} rows, {peaks[1]:.0f} MB for {MANY:,}"
