"""Bulk scoring on one machine: what comes out is what the model says of each row, and it comes whole or not at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from ml.bundle.bundle import key_of, read_manifest
from ml.bundle.schema import SCHEMA_FILE, BundleSchema
from ml.errors import InputRefused, ReleaseRefused
from ml.model.scorer import load_scorer
from ml.problem import Problem
from ml.scoring.job import Job, Outcome, Share, run
from ml.scoring.output import Done, Output
from ml.store import Store
from ml.trust.signing import signature_key
from tests.conftest import rows_of

ROWS = 1000
Score = Callable[..., Outcome]


@pytest.fixture
def frame(small_problem: Problem) -> pd.DataFrame:
    rows = rows_of(small_problem, ROWS)
    return rows.assign(id=np.arange(ROWS) + 7_000_000_000, year=2017, note="n")


@pytest.fixture
def score(tmp_path: Path, store: Store, published: str) -> Score:
    def run_job(source: Path | str, **options: Any) -> Outcome:
        defaults = {"output": str(tmp_path / "out"), "identifiers": ("id",), "rows_per_part": 300}
        return run(Job(input=str(source), store_uri=store.uri, release=published, **defaults | options))

    return run_job


@pytest.fixture
def expected(built: Path, frame: pd.DataFrame, small_problem: Problem) -> pd.DataFrame:
    """The scores that the release's own scorer gives all rows at once."""
    schema = BundleSchema.parse((built / SCHEMA_FILE).read_bytes())
    scores = load_scorer(built, schema).score(frame[small_problem.feature_names].to_numpy(dtype=np.int64))
    return pd.DataFrame({"id": frame["id"], "score": scores, "decision": (scores >= 0.5).astype(np.int32)})


def read(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder).sort_values("id", ignore_index=True)


def check(folder: Path, expected: pd.DataFrame, release: str) -> None:
    found = read(folder)
    assert list(found.columns) == ["id", "score", "decision", "release"]
    assert (found["release"] == release).all()
    assert found["id"].tolist() == expected["id"].tolist()
    # The release's scorer saw another number of rows at once: the last bit may differ, a decision may not.
    np.testing.assert_allclose(found["score"], expected["score"], rtol=0, atol=1e-12)
    assert found["decision"].tolist() == expected["decision"].tolist()


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_row_of_a_parquet_file_is_scored(
    tmp_path: Path, frame: pd.DataFrame, score: Score, expected: pd.DataFrame, published: str
) -> None:
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=130)
    outcome = score(tmp_path / "in.parquet")
    assert (outcome.rows, outcome.aside, outcome.parts, outcome.is_complete) == (ROWS, 0, 4, True)
    check(tmp_path / "out", expected, published)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "_scoring.json",
        *(f"part-{n:06}.parquet" for n in range(4)),
    ]
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("kind", ["int8", "float64", "category"])
def test_the_type_of_the_columns_does_not_matter(
    tmp_path: Path, frame: pd.DataFrame, score: Score, expected: pd.DataFrame, published: str, kind: str
) -> None:
    features = frame.columns.drop(["id", "note", "year"])
    frame.astype(dict.fromkeys(features, kind)).to_parquet(tmp_path / "in.parquet")
    score(tmp_path / "in.parquet")
    check(tmp_path / "out", expected, published)


def test_a_warehouses_decimals_are_scored_identifiers_too(
    tmp_path: Path, frame: pd.DataFrame, score: Score, expected: pd.DataFrame
) -> None:
    rows = pa.Table.from_pandas(frame.drop(columns="note"), preserve_index=False)
    unloaded = {name: rows.column(name).cast(pa.int64()).cast(pa.decimal128(38, 0)) for name in rows.column_names}
    pq.write_table(pa.table(unloaded), tmp_path / "in.parquet")
    score(tmp_path / "in.parquet")
    found = pq.read_table(tmp_path / "out")
    assert found.schema.field("id").type == pa.decimal128(38, 0)
    assert [int(name) for name in found.column("id").to_pylist()] == expected["id"].tolist()
    np.testing.assert_allclose(found.column("score").to_numpy(), expected["score"], rtol=0, atol=1e-12)


def test_csv_gives_the_same_bytes_as_parquet(tmp_path: Path, frame: pd.DataFrame, score: Score) -> None:
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=100_000)
    frame.to_csv(tmp_path / "in.csv", index=False)
    frame.astype({"AGEP": "float64"}).to_csv(tmp_path / "in2.csv", index=False, lineterminator="\r\n")
    score(tmp_path / "in.parquet", output=str(tmp_path / "a"))
    outcome = score(tmp_path / "in.csv", output=str(tmp_path / "b"))
    score(tmp_path / "in2.csv", output=str(tmp_path / "c"))
    assert outcome.parts > 1
    for other in ("b", "c"):
        pd.testing.assert_frame_equal(read(tmp_path / "a"), read(tmp_path / other), check_exact=True)


def test_a_partitioned_dataset_is_read_with_the_columns_its_folders_name(
    tmp_path: Path, frame: pd.DataFrame, score: Score, expected: pd.DataFrame
) -> None:
    ds.write_dataset(pa.Table.from_pandas(frame, preserve_index=False), tmp_path / "in", format="parquet",
                     partitioning=["SEX", "year"], partitioning_flavor="hive")  # fmt: skip
    (tmp_path / "in" / "_SUCCESS").touch()
    (tmp_path / "in" / "README.md").write_text("not data")
    score(tmp_path / "in", identifiers=("id", "year"))
    found = read(tmp_path / "out")
    assert found["year"].unique().tolist() == [2017]
    np.testing.assert_allclose(found["score"], expected["score"], rtol=0, atol=1e-12)


def test_a_delta_table_is_read_as_its_log_says(
    tmp_path: Path, frame: pd.DataFrame, score: Score, expected: pd.DataFrame, published: str
) -> None:
    from deltalake import DeltaTable, write_deltalake

    uri = str(tmp_path / "table")
    write_deltalake(uri, frame.iloc[:600], partition_by=["SEX"])
    write_deltalake(uri, frame.iloc[:600], mode="overwrite", partition_by=["SEX"])  # the first files stay on disk
    write_deltalake(uri, frame.iloc[600:], mode="append", partition_by=["SEX"])
    score(uri)
    check(tmp_path / "out", expected, published)
    DeltaTable(uri).delete("id = 7000000000")
    with pytest.raises(InputRefused, match="as it was then"):
        score(uri)
    assert score(uri, output=str(tmp_path / "again")).rows == ROWS - 1


def test_shares_add_up_to_the_whole(tmp_path: Path, frame: pd.DataFrame, score: Score) -> None:
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=100)
    score(tmp_path / "in.parquet", output=str(tmp_path / "whole"), rows_per_part=100)
    for index in (3, 1, 2):
        assert not (tmp_path / "out").exists()
        outcome = score(tmp_path / "in.parquet", rows_per_part=100, share=Share(index, 3))
    assert outcome.is_complete
    assert outcome.rows == ROWS
    assert folder_bytes(tmp_path / "out") == folder_bytes(tmp_path / "whole")


def test_scores_do_not_depend_on_how_rows_are_cut(tmp_path: Path, frame: pd.DataFrame, score: Score) -> None:
    big = pd.concat([frame] * 20, ignore_index=True).assign(id=np.arange(20 * ROWS))
    for number, (group, part) in enumerate([(977, 1000), (20_000, 20_000), (1, 5)]):
        rows = big if number < 2 else big.head(50)
        rows.to_parquet(tmp_path / f"{number}.parquet", row_group_size=group)
        score(tmp_path / f"{number}.parquet", output=str(tmp_path / f"out{number}"), rows_per_part=part)
    first, second, third = (read(tmp_path / f"out{number}") for number in range(3))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    pd.testing.assert_frame_equal(first.head(50), third, check_exact=True)


def test_a_second_run_does_nothing_and_another_job_is_refused(
    tmp_path: Path, frame: pd.DataFrame, score: Score, publish_version: Callable[[str], str]
) -> None:
    frame.to_parquet(tmp_path / "in.parquet")
    score(tmp_path / "in.parquet")
    before = folder_bytes(tmp_path / "out")
    assert score(tmp_path / "in.parquet").rows_scored_now == 0
    with pytest.raises(InputRefused, match="holds the scores of"):
        score(tmp_path / "in.parquet", identifiers=("id", "year"))
    frame.head(10).to_parquet(tmp_path / "in.parquet")
    with pytest.raises(InputRefused, match="holds the scores of"):
        score(tmp_path / "in.parquet")
    assert folder_bytes(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("AGEP", 150, "row 777, column AGEP: expected an integer from 0 to 99, got 150"),
        ("AGEP", 1.5, "row 777, column AGEP: expected an integer from 0 to 99, got 1.5"),
        ("AGEP", np.inf, "row 777, column AGEP: expected an integer from 0 to 99, got inf"),
        ("SEX", 3, "row 777, column SEX: expected one of the codes 1, 2, got 3"),
        ("SEX", np.nan, "row 777, column SEX: expected one of the codes 1, 2, got nothing"),
        ("id", np.nan, "row 777, column id: expected an identifier, got nothing"),
    ],
)
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_bad_row_is_named_and_nothing_comes_out(
    tmp_path: Path, frame: pd.DataFrame, score: Score, column: str, value: float, says: str, kind: str
) -> None:
    frame[column] = frame[column].astype("Int64" if column == "id" else "float64")
    frame.loc[777, column] = pd.NA if column == "id" else value
    source = tmp_path / f"in.{kind}"
    if kind == "csv":
        frame.to_csv(source, index=False)
        says = says.split(", got")[0]  # as the text has it
    else:
        frame.to_parquet(source, row_group_size=100)
    with pytest.raises(InputRefused) as refused:
        score(source)
    assert says in str(refused.value)
    assert str(source) in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_bad_rows_are_set_aside_with_reasons_and_the_others_scored(
    tmp_path: Path, frame: pd.DataFrame, score: Score, expected: pd.DataFrame, published: str, kind: str
) -> None:
    frame.loc[[5, 650, 999], "AGEP"] = [100, -1, 500]
    frame.loc[5, "SEX"] = 9
    frame.to_csv(tmp_path / "in.csv", index=False)
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=100)
    with pytest.raises(InputRefused):
        score(tmp_path / f"in.{kind}")
    outcome = score(tmp_path / f"in.{kind}", bad_rows="aside")  # goes on with what was done before
    assert (outcome.rows, outcome.aside) == (ROWS, 3)
    check(tmp_path / "out", expected.drop([5, 650, 999]), published)
    aside = read(tmp_path / "out" / "_aside")
    assert aside["id"].tolist() == frame["id"].iloc[[5, 650, 999]].tolist()
    assert aside["row"].tolist() == [5, 650, 999]
    assert set(aside["file"]) == {f"in.{kind}"}
    assert "AGEP: expected an integer from 0 to 99" in aside["reasons"][0]
    assert "SEX: expected one of the codes 1, 2" in aside["reasons"][0]


def test_a_broken_line_of_csv_is_a_bad_row(tmp_path: Path, frame: pd.DataFrame, score: Score) -> None:
    lines = frame.to_csv(index=False).splitlines()
    lines[501] = "1,2,3"
    (tmp_path / "in.csv").write_text("\n".join(lines))
    with pytest.raises(InputRefused, match=r"row 500, expected 19 values, got 3"):
        score(tmp_path / "in.csv")
    outcome = score(tmp_path / "in.csv", bad_rows="aside")
    assert (outcome.rows, outcome.aside) == (ROWS, 1)
    assert read(tmp_path / "out" / "_aside")["row"].tolist() == [500]
    assert read(tmp_path / "out")["id"].tolist() == frame["id"].drop(500).tolist()


def test_a_file_that_can_not_be_read_is_refused_before_anything_is_written(
    tmp_path: Path, frame: pd.DataFrame, score: Score
) -> None:
    cases: dict[str, tuple[str, bytes | pd.DataFrame]] = {
        "no such": ("isn't there", b""),
        "missing.parquet": ("the column AGEP is missing", frame.drop(columns="AGEP")),
        "no-id.parquet": ("Name the identifier with --identifier", frame.drop(columns="id")),
        "text.parquet": ("from 0 to 99, but the column holds", frame.astype({"AGEP": str})),
        "bool.parquet": ("but the column holds bool", frame.assign(SEX=True)),
        "cut.parquet": ("can't be read as parquet", b"PAR1 and no more"),
        "empty.csv": ("the file is empty", b""),
        "latin.csv": ("not UTF-8", "é,".encode("latin-1") + frame.to_csv(index=False).encode()),
        "notes.txt": ("holds no file called like", b"hello"),
    }  # fmt: skip
    for name, (says, content) in cases.items():
        if isinstance(content, pd.DataFrame):
            content.to_parquet(tmp_path / name)
        elif name != "no such":
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputRefused, match=says):
            score(tmp_path / name)
    assert not [p for p in tmp_path.iterdir() if "out" in p.name]


def test_a_release_that_is_altered_or_not_signed_scores_nothing(
    tmp_path: Path, frame: pd.DataFrame, score: Score, store: Store, published: str
) -> None:
    frame.to_parquet(tmp_path / "in.parquet")
    signature = store.read(signature_key(published))
    store.delete(signature_key(published))
    with pytest.raises(ReleaseRefused, match="not signed"):
        score(tmp_path / "in.parquet")
    store.write(signature_key(published), signature)
    name = next(name for name in read_manifest(store, published).files if name.endswith("model.pkl"))
    store.write(f"{key_of(published)}/{name}", b"other code")
    with pytest.raises(ReleaseRefused, match="was altered"):
        score(tmp_path / "in.parquet")
    assert not (tmp_path / "out").exists()


def test_what_is_at_the_output_is_never_touched(tmp_path: Path, frame: pd.DataFrame, score: Score) -> None:
    frame.to_parquet(tmp_path / "in.parquet")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputRefused, match="holds something already"):
        score(tmp_path / "in.parquet")
    assert folder_bytes(tmp_path / "out") == {"mine.txt": b"mine"}


def test_an_unfinished_scoring_of_something_else_is_refused_unless_restarted(
    tmp_path: Path, frame: pd.DataFrame, score: Score
) -> None:
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=100)
    score(tmp_path / "in.parquet", share=Share(1, 2))
    frame.assign(AGEP=30).to_parquet(tmp_path / "in.parquet", row_group_size=100)
    with pytest.raises(InputRefused, match=r"differs in parts.*--restart"):
        score(tmp_path / "in.parquet")
    assert score(tmp_path / "in.parquet", restart=True).resumed == 0
    pq.read_table(tmp_path / "out")


def test_an_object_store_gets_the_same_bytes(tmp_path: Path, frame: pd.DataFrame, score: Score) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    with memory.open("/bulk/in/year=2017/a.parquet", "wb") as file:
        frame.drop(columns="year").to_parquet(file, row_group_size=100)
    with memory.open("/bulk/in/year=2017/b.csv", "wb") as file:
        file.write(b"")
    with pytest.raises(InputRefused, match="both parquet and CSV"):
        score("memory://bulk/in")
    memory.rm("/bulk/in/year=2017/b.csv")
    for index in (1, 2):
        assert not memory.exists("/bulk/out")
        score("memory://bulk/in", output="memory://bulk/out", share=Share(index, 2))
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=100)
    score(tmp_path / "in.parquet")
    found = {path.removeprefix("/bulk/out/"): memory.cat_file(path) for path in memory.find("/bulk/out")}
    local = folder_bytes(tmp_path / "out")
    assert found.keys() == local.keys()
    assert all(found[name] == local[name] for name in local if name != "_scoring.json")
    assert not memory.exists("/bulk/.out.scoring")


def test_the_output_can_not_lie_in_the_input(tmp_path: Path, frame: pd.DataFrame, score: Score) -> None:
    (tmp_path / "in").mkdir()
    frame.to_parquet(tmp_path / "in" / "a.parquet")
    with pytest.raises(InputRefused, match="lies in the input"):
        score(tmp_path / "in", output=str(tmp_path / "in" / "scores"))
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["a.parquet"]


def test_a_worker_whose_double_was_faster_finds_the_work_done(
    tmp_path: Path, frame: pd.DataFrame, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=100)
    finish, doubled = Output.finish, False

    def slow_finish(self: Output, done: Done) -> None:
        nonlocal doubled
        if done.number == 1 and not doubled:
            doubled = True
            assert score(tmp_path / "in.parquet").is_complete
        finish(self, done)

    monkeypatch.setattr(Output, "finish", slow_finish)
    outcome = score(tmp_path / "in.parquet")
    assert doubled
    assert (outcome.rows, outcome.is_complete) == (ROWS, True)
    assert len(read(tmp_path / "out")) == ROWS
    assert not list(tmp_path.glob(".out*"))
