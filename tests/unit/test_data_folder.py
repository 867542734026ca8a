"""A folder is checked as the one table that bulk scoring would read."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from click.testing import CliRunner

from ml.data.command import data
from ml.data.read import examine
from ml.errors import InputRefused
from ml.problem import load_problem
from tests.conftest import REFERENCE

PROBLEM = load_problem()
PEOPLE = pd.read_parquet(REFERENCE / "data" / "2015.parquet").head(300)


def partitioned(folder: Path, columns: list[str]) -> Path:
    table = pa.Table.from_pandas(PEOPLE, preserve_index=False)
    ds.write_dataset(table, folder, format="parquet", partitioning=columns, partitioning_flavor="hive")
    (folder / "_SUCCESS").touch()
    return folder


def test_a_partitioned_folder_has_the_rows_and_statistics_of_the_file_it_was_made_of(tmp_path: Path) -> None:
    PEOPLE.to_parquet(tmp_path / "it.parquet", index=False)
    one = examine(PROBLEM, tmp_path / "it.parquet")
    many = examine(PROBLEM, partitioned(tmp_path / "it", ["SEX", "employed"]))
    assert many.passed
    assert many.rows == one.rows == 300
    assert {c.name: c.counts for c in many.columns} == {c.name: c.counts for c in one.columns}
    assert many.digest is not None
    assert many.digest != one.digest


def test_a_delta_table_is_read_as_its_log_says(tmp_path: Path) -> None:
    from deltalake import write_deltalake

    write_deltalake(str(tmp_path / "it"), PEOPLE.head(100), partition_by=["year"])
    write_deltalake(str(tmp_path / "it"), PEOPLE, mode="overwrite", partition_by=["year"])
    report = examine(PROBLEM, tmp_path / "it")
    assert (report.passed, report.rows) == (True, 300)


def test_a_bad_row_is_named_with_its_file_and_what_several_files_repeat_is_found(tmp_path: Path) -> None:
    PEOPLE.head(200).to_csv(tmp_path / "a.csv", index=False)
    PEOPLE.tail(101).assign(AGEP=lambda frame: frame["AGEP"].where(frame.index != 205, 777)).to_csv(
        tmp_path / "b.csv", index=False
    )
    messages = [finding.message for finding in examine(PROBLEM, tmp_path).errors]
    assert any("'AGEP'" in message and "first in row 7 of 'b.csv'" in message for message in messages)
    assert any("'id'" in message and "2 rows" in message for message in messages)


def test_a_file_that_is_unlike_the_others_is_named(tmp_path: Path) -> None:
    PEOPLE.to_csv(tmp_path / "a.csv", index=False)
    for other, says in (
        (PEOPLE.drop(columns="SEX").assign(sex=1), "other columns than the files before it: no 'SEX'; also 'sex'"),
        (None, "empty, 0 bytes"),
    ):
        (tmp_path / "b.csv").write_bytes(b"" if other is None else other.to_csv(index=False).encode())
        report = examine(PROBLEM, tmp_path)
        assert not report.passed
        assert report.source == str(tmp_path / "b.csv")
        assert says in report.errors[0].message


def test_a_folder_without_data_is_refused_and_the_command_takes_one_with(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(InputRefused, match="empty folder"):
        examine(PROBLEM, tmp_path / "none")
    (tmp_path / "both").mkdir()
    for name in ("a.csv", "b.parquet"):
        (tmp_path / "both" / name).touch()
    with pytest.raises(InputRefused, match="both parquet and CSV"):
        examine(PROBLEM, tmp_path / "both")
    done = CliRunner().invoke(data, ["check", str(partitioned(tmp_path / "it", ["SEX"]))])
    assert done.exit_code == 0, done.output
    assert "passed, 300 rows" in done.output
