"""Bad files are refused with file, column and count, and leave nothing behind; good ones are kept once."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.data.quality import DataRefused
from ml.data.read import examine, ingest, read_file
from ml.errors import InputRefused
from ml.problem import Problem, load_problem
from ml.store import Store
from tests.conftest import REFERENCE

ROWS = 500
PROBLEM = load_problem()
PEOPLE = pd.read_parquet(REFERENCE / "data" / "2015.parquet").head(ROWS)


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def text(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def changed(column: str, values: dict[int, object]) -> pd.DataFrame:
    frame = PEOPLE.astype({column: object})
    for row, value in values.items():
        frame.loc[row, column] = value
    return frame


def place(folder: Path, content: bytes, name: str) -> Problem:
    """Write the file as the only dataset, "it", of a copy of the problem that states its digest."""
    (folder / "checkout").mkdir(exist_ok=True)
    (folder / "checkout" / name).write_bytes(content)
    file = {"path": name, "sha256": hashlib.sha256(content).hexdigest()}
    datasets = {**PROBLEM.datasets.model_dump(), "root": ".", "files": {"it": file}}
    split = {**PROBLEM.split.model_dump(), "train": "it", "test": "it", "live": "it"}
    return Problem.model_validate({**PROBLEM.model_dump(), "datasets": datasets, "split": split})


def swapped(column: str) -> pd.DataFrame:
    return PEOPLE.assign(**{column: PEOPLE["employed"].map({0: "out", 1: "in"})})


BAD: dict[str, tuple[Callable[[], bytes], str, list[str]]] = {
    "missing column": (lambda: parquet(PEOPLE.drop(columns="SEX")), "it.parquet", ["'SEX'", "missing", "500 rows"]),
    "new category code": (
        lambda: parquet(PEOPLE.assign(MAR=PEOPLE["MAR"].where(PEOPLE.index > 2, 7))),
        "it.parquet",
        ["'MAR'", "code", "3 rows", "such as 7"],
    ),
    "out of range": (
        lambda: parquet(PEOPLE.assign(AGEP=PEOPLE["AGEP"].where(PEOPLE.index > 0, -1))),
        "it.parquet",
        ["'AGEP'", "range 0 to 99", "1 row", "-1"],
    ),
    "text among numbers": (
        lambda: text(changed("AGEP", {3: "abc", 4: "forty"})),
        "it.csv",
        ["'AGEP'", "not a whole number", "2 rows", "'abc', 'forty'", "row 4"],
    ),
    "numbers as text": (lambda: parquet(PEOPLE.astype({"SCHL": str})), "it.parquet", ["'SCHL'", "whole", "500 rows"]),
    "fractions": (
        lambda: parquet(PEOPLE.assign(AGEP=PEOPLE["AGEP"] + np.where(PEOPLE.index < 7, 0.5, 0))),
        "it.parquet",
        ["'AGEP'", "not a whole number", "7 rows"],
    ),
    "truth values": (lambda: parquet(PEOPLE.assign(DIS=PEOPLE["DIS"] == 1)), "it.parquet", ["'DIS'", "500 rows"]),
    "dates": (
        lambda: parquet(PEOPLE.assign(year=pd.Timestamp("2015-01-01"))),
        "it.parquet",
        ["'year'", "not a whole number", "500 rows"],
    ),
    "lists": (
        lambda: parquet(PEOPLE.assign(id=[[1, 2]] * ROWS)),
        "it.parquet",
        ["'id'", "not a whole number", "500 rows"],
    ),
    "nulls": (lambda: text(changed("CIT", {0: None, 9: None})), "it.csv", ["'CIT'", "no value", "2 rows"]),
    "infinite": (
        lambda: parquet(PEOPLE.assign(AGEP=np.where(PEOPLE.index < 2, np.inf, PEOPLE["AGEP"]))),
        "it.parquet",
        ["'AGEP'", "2 rows", "inf"],
    ),
    "too large for a number": (lambda: text(changed("id", {5: 10**30})), "it.csv", ["'id'", "1 row"]),
    "empty file": (lambda: b"", "it.parquet", ["the file as a whole", "0 bytes"]),
    "empty table": (lambda: parquet(PEOPLE.head(0)), "it.parquet", ["the data as a whole", "0 rows"]),
    "a header alone": (lambda: text(PEOPLE.head(0)), "it.csv", ["the data as a whole", "0 rows"]),
    "truncated parquet": (lambda: parquet(PEOPLE)[:5000], "it.parquet", ["cut short", "5,000 bytes"]),
    "no parquet at all": (lambda: b"%PDF-1.7 hello", "it.parquet", ["not readable as parquet", "14 bytes"]),
    "bytes as text": (
        lambda: b"\xff\xfe\x00" * 9,
        "it.csv",
        ["the file as a whole", "not UTF-8", "byte 1", "27 bytes"],
    ),
    "parquet by the name of CSV": (lambda: parquet(PEOPLE), "it.csv", ["the file as a whole", "a parquet file"]),
    "another encoding": (
        lambda: text(PEOPLE.assign(MAR="caf\xe9")).decode().encode("latin-1"),
        "it.csv",
        ["not UTF-8", "in line 2", "save it as UTF-8"],
    ),
    "UTF-16 without its mark": (
        lambda: text(PEOPLE).decode().encode("utf-16-le"),
        "it.csv",
        ["not text", "zero bytes", "save it as UTF-8"],
    ),
    "ragged lines": (
        lambda: text(PEOPLE) + b"1,2,3\n4\n",
        "it.csv",
        ["the file as a whole", "2 lines", "19 values", "'1,2,3'"],
    ),
    "duplicate ids": (
        lambda: parquet(PEOPLE.assign(id=PEOPLE["id"].where(PEOPLE.index != 1, PEOPLE["id"][0]))),
        "it.parquet",
        ["'id'", "more than once", "2 rows"],
    ),
    "target leak": (lambda: parquet(swapped("status")), "it.parquet", ["'status'", "tells the target", "500 rows"]),
    "leak through nulls": (
        lambda: parquet(PEOPLE.assign(hours=np.where(PEOPLE["employed"] == 1, 38.0, np.nan))),
        "it.parquet",
        ["'hours'", "tells the target 'employed'", "500 rows", "1.000"],
    ),
    "leak in a feature": (
        lambda: parquet(PEOPLE.assign(DREM=PEOPLE["employed"] + 1)),
        "it.parquet",
        ["'DREM'", "tells the target", "500 rows"],
    ),
    "unexpected column": (lambda: parquet(PEOPLE.assign(notes="x")), "it.parquet", ["'notes'", "500 rows", "remove"]),
    "column twice": (
        lambda: text(PEOPLE).replace(b"MAR", b"AGEP", 1),
        "it.csv",
        ["'AGEP'", "2 times", "'MAR'", "missing"],
    ),
    "one outcome": (lambda: parquet(PEOPLE.assign(employed=1)), "it.parquet", ["'employed'", "1 in all 500 rows"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_by_name_column_and_count_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    make, name, says = BAD[case]
    problem = place(tmp_path, make(), name)

    with pytest.raises(DataRefused) as refused:
        ingest(problem, "it", Store(str(tmp_path / "store")), tmp_path / "checkout")

    message = str(refused.value)
    for part in (name, *says):
        assert part in message
    assert "pandera" not in message.lower()
    assert "arrow" not in message.lower()
    assert refused.value.exit_code == 2
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    frame = changed("AGEP", {0: "abc"}).drop(columns="SEX").assign(MAR=9, extra=1)
    frame.to_csv(tmp_path / "it.csv", index=False)

    with pytest.raises(DataRefused) as refused:
        read_file(PROBLEM, tmp_path / "it.csv")

    found = {(finding.column, finding.rule, finding.count) for finding in refused.value.findings}
    assert found == {
        ("AGEP", "not-a-whole-number", 1),
        ("SEX", "missing-column", 500),
        ("MAR", "unknown-code", 500),
        ("extra", "unexpected-column", 500),
    }
    lines = str(refused.value).splitlines()
    assert lines[0] == "The data is refused, with 4 errors."
    assert all(line.startswith(f"  {tmp_path / 'it.csv'}: column '") for line in lines[1:])


def test_a_message_holds_no_control_characters_and_stays_short(tmp_path: Path) -> None:
    extra = pd.DataFrame(1, index=PEOPLE.index, columns=[f"\x1b[31m{i}" + "x" * 5000 for i in range(300)])
    frame = pd.concat([PEOPLE, extra], axis=1)
    frame.to_parquet(tmp_path / "it.parquet", index=False)

    with pytest.raises(DataRefused) as refused:
        read_file(PROBLEM, tmp_path / "it.parquet")

    assert len(refused.value.findings) == 300
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 10_000
    assert "280 more errors" in str(refused.value)


@pytest.mark.parametrize("name", ["it.txt", "absent.csv", "folder.csv"])
def test_what_is_no_data_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "it.txt").write_text("id")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputRefused, match=name):
        read_file(PROBLEM, tmp_path / name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_parquet_is_refused_or_read_but_never_a_traceback(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(parquet(PEOPLE.head(40)))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path / "it.parquet"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    report = examine(PROBLEM, file)
    assert report.rows >= 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes_as_csv_are_refused_with_findings(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "it.csv"
    file.write_bytes(content)
    assert not examine(PROBLEM, file).passed


def test_the_same_rows_give_the_same_frame_from_either_kind_of_file(tmp_path: Path) -> None:
    PEOPLE.to_parquet(tmp_path / "it.parquet", index=False)
    PEOPLE[sorted(PEOPLE.columns)].to_csv(tmp_path / "it.csv", index=False)
    one, other = read_file(PROBLEM, tmp_path / "it.parquet"), read_file(PROBLEM, tmp_path / "it.csv")
    pd.testing.assert_frame_equal(one, other)
    assert list(one.columns) == PROBLEM.columns
    assert set(one[PROBLEM.feature_names].dtypes) == {np.dtype(np.int8)}


def test_nullable_features_may_be_null_and_become_floats(tmp_path: Path) -> None:
    features = [feature.model_copy(update={"nullable": feature.name == "AGEP"}) for feature in PROBLEM.features]
    problem = PROBLEM.model_copy(update={"features": tuple(features)})
    changed("AGEP", {0: None}).to_csv(tmp_path / "it.csv", index=False)
    frame = read_file(problem, tmp_path / "it.csv")
    assert frame["AGEP"].isna().sum() == 1
    assert frame["AGEP"].dtype == np.float64


def test_the_target_may_be_missing_only_when_unlabelled(tmp_path: Path) -> None:
    file = tmp_path / "it.csv"
    PEOPLE.drop(columns="employed").to_csv(file, index=False)
    assert list(read_file(PROBLEM, file, labelled=False).columns) == PROBLEM.columns[:-1]
    with pytest.raises(DataRefused, match=r"'employed': missing in all 500 rows"):
        read_file(PROBLEM, file)


def test_ingest_keeps_the_bytes_and_the_report_once(tmp_path: Path) -> None:
    content = parquet(PEOPLE)
    problem, store = place(tmp_path, content, "it.parquet"), Store(str(tmp_path / "store"))
    first = ingest(problem, "it", store, tmp_path / "checkout")
    sha256 = hashlib.sha256(content).hexdigest()
    key = f"data/{problem.name}/it/{sha256}"
    assert (first.name, first.digest, first.uri) == ("it", f"sha256:{sha256}", store.url(f"{key}.parquet"))
    assert store.read(f"{key}.parquet") == content
    assert list(store.list()) == [f"{key}.parquet", f"{key}.quality.html", f"{key}.quality.json"]

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*")}
    second = ingest(problem, "it", store, tmp_path / "checkout")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*")} == before
    pd.testing.assert_frame_equal(first.frame, second.frame)


def test_without_the_checkout_the_store_serves_the_data(tmp_path: Path) -> None:
    problem, store = place(tmp_path, parquet(PEOPLE), "it.parquet"), Store(str(tmp_path / "store"))
    there = ingest(problem, "it", store, tmp_path / "checkout")
    elsewhere = ingest(problem, "it", store, tmp_path / "nowhere")
    assert (elsewhere.digest, elsewhere.uri) == (there.digest, there.uri)
    pd.testing.assert_frame_equal(elsewhere.frame, there.frame)

    store.write(there.uri.removeprefix(f"{store.uri}/"), parquet(PEOPLE.head(9)))
    with pytest.raises(DataRefused, match="digest"):
        ingest(problem, "it", store, tmp_path / "nowhere")


def test_neither_file_nor_copy_says_both_places(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    with pytest.raises(InputRefused, match=r"2015\.parquet: there is no such file.*store has no copy"):
        ingest(PROBLEM, "2015", store, tmp_path)
    with pytest.raises(InputRefused, match=r"'1999' is not a dataset.*2015, 2016, 2017"):
        ingest(PROBLEM, "1999", store, tmp_path)


def test_a_file_that_is_not_the_one_stated_is_refused(tmp_path: Path) -> None:
    problem = place(tmp_path, parquet(PEOPLE), "it.parquet")
    (tmp_path / "checkout" / "it.parquet").write_bytes(parquet(PEOPLE.head(100)))
    with pytest.raises(DataRefused, match=r"it\.parquet: .* bytes with the digest sha256:") as refused:
        ingest(problem, "it", Store(str(tmp_path / "store")), tmp_path / "checkout")
    assert refused.value.findings[0].rule == "digest"
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", PROBLEM.datasets.files)
def test_the_real_data_is_what_the_problem_says(name: str, tmp_path: Path) -> None:
    here = PROBLEM.model_copy(update={"datasets": PROBLEM.datasets.model_copy(update={"root": "data"})})
    dataset = ingest(here, name, Store(str(tmp_path)), REFERENCE)
    assert len(dataset.frame) > 68_000
    assert dataset.frame[PROBLEM.time].unique().tolist() == [int(name)]
