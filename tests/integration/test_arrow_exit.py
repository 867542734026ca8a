"""A process that has read parquet ends in peace."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TIMES = 10  # with a Python file, one process in three was aborted
PROGRAM = """
import sys
import pyarrow.parquet as pq
from ml.arrow import in_memory
with open(sys.argv[1], "rb") as file:
    pq.read_table(in_memory(file.read()), filters=[("c0", ">", 0.5)])
"""


def test_no_thread_of_arrow_needs_python_after_its_end(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).random((20, 3000))
    pq.write_table(pa.table({f"c{index}": column for index, column in enumerate(numbers)}), tmp_path / "table")
    for _ in range(TIMES):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "table")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
