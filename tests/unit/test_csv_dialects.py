"""CSV that isn't ours is read alike or refused with one sentence: by bulk scoring, `data check` and `labels add`."""

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.bundle.schema import BundleSchema
from ml.data.read import examine
from ml.errors import InputRefused
from ml.feedback._incoming import from_file
from ml.problem import load_problem
from ml.scoring.open import open_source
from ml.scoring.rows import RowReader

WHOLE = load_problem()
FEATURES = tuple(feature for feature in WHOLE.features if feature.name in ("AGEP", "SEX"))
PROBLEM = WHOLE.model_copy(update={"features": FEATURES})
DATA = b"id,year,AGEP,SEX,employed\n7,2015,45,1,1\n8,2015,30,2,0\n9,2015,45,1,0\n10,2015,30,2,1\n"
LABELS = b"prediction_id,label,at\na,1,2026-03-09\nb,0,2026-03-09\n"


def scored(file: Path) -> list[list[float]]:
    reader = RowReader(BundleSchema.of(PROBLEM), ["id"])
    source = open_source(str(file), reader, 10)
    rows: list[list[float]] = []
    for part in source.parts:
        for batch in source.read(part, 10):
            found = reader.check(batch.rows, source.schema)
            if batch.broken or found.mistakes:
                raise InputRefused(f"{file}: {batch.broken or found.mistakes}")
            rows += found.matrix.tolist()
    return rows


def checked(file: Path) -> int:
    report = examine(PROBLEM, file)
    if not report.passed:
        raise InputRefused("\n".join(f"{report.source}: {finding.message}" for finding in report.errors))
    return report.rows


def labelled(file: Path) -> list[str]:
    return from_file(file).rows["label"].to_list()


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("it.csv", content)
    return buffer.getvalue()


TAKEN: dict[str, Callable[[bytes], bytes]] = {
    "a byte order mark": lambda content: b"\xef\xbb\xbf" + content,
    "carriage return and line feed": lambda content: content.replace(b"\n", b"\r\n"),
    "no line feed at the end": lambda content: content.rstrip(b"\n"),
    "empty lines at the end": lambda content: content + b"\n\n",
    "everything quoted": lambda content: b"\n".join(
        b",".join(b'"' + cell + b'"' for cell in line.split(b",")) if line else b"" for line in content.split(b"\n")
    ),
    "columns in another order": lambda content: b"\n".join(
        b",".join(line.split(b",")[::-1]) for line in content.split(b"\n")
    ),
}

REFUSED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "semicolons": (lambda content: content.replace(b",", b";"), r"separated by semicolons \(';'\); separate them by"),
    "tabs": (lambda content: content.replace(b",", b"\t"), "separated by tabs"),
    "bars": (lambda content: content.replace(b",", b"|"), "separated by bars"),
    "semicolons, quoted": (lambda content: b'"' + content.replace(b",", b'";"', 4), "separated by|can't be read"),
    "Excel's hint": (lambda content: b"sep=;\n" + content.replace(b",", b";"), "its first line is 'sep=;'; remove it"),
    "bare carriage returns": (lambda content: content.replace(b"\n", b"\r"), "bare carriage returns; save it with"),
    "UTF-16": (lambda content: content.decode().encode("utf-16"), "UTF-16.*save it as UTF-8"),
    "UTF-16, big end first": (lambda content: b"\xfe\xff" + content.decode().encode("utf-16-be"), "save it as UTF-8"),
    "UTF-16 without its mark": (lambda content: content.decode().encode("utf-16-le"), "zero bytes.*save it as UTF-8"),
    "gzip": (gzip.compress, "compressed .gzip.; unpack it"),
    "zip": (zipped, "zip archive or an Excel workbook"),
    "no names": (lambda content: content.split(b"\n", 1)[1].replace(b"a", b"1").replace(b"b", b"2"), "hold|missing"),
    "names in another case": (lambda content: content.swapcase(), "(?i)missing.*rename"),
    "names with spaces": (lambda content: content.replace(b",", b" , ", 4), "(?i)missing.*rename"),
    "a column twice": (lambda content: content.replace(b"AGEP", b"SEX").replace(b"at\n", b"label\n"), "there 2 times"),
    "a quote in the header that stays open": (lambda content: b'"' + content, "can't be read"),
    "too many values": (lambda content: content + b"1,2,3,4,5,6,7,8,9\n", "[Ee]xpected|header's"),
    "too few values": (lambda content: content + b"1\n", "[Ee]xpected|header's"),
    "another encoding in a line that is too long": (lambda content: content + b"\xe9,1,2,3,4,5,6\n", "UTF-8"),
    "another encoding": (lambda content: content.replace(b"45", b"\xe9").replace(b"a,", b"\xe9,"), "(?i)utf-?8"),
    "nothing": (lambda _: b"", "empty"),
}  # fmt: skip


@pytest.mark.parametrize("dialect", TAKEN)
def test_a_dialect_that_is_read_is_read_by_all(dialect: str, tmp_path: Path) -> None:
    file = tmp_path / "it.csv"
    file.write_bytes(TAKEN[dialect](DATA))
    assert scored(file) == [[45, 1], [30, 2], [45, 1], [30, 2]]
    assert checked(file) == 4
    file.write_bytes(TAKEN[dialect](LABELS))
    assert labelled(file) == ["1", "0"]


@pytest.mark.parametrize("dialect", REFUSED)
@pytest.mark.parametrize(("read", "content"), [(scored, DATA), (checked, DATA), (labelled, LABELS)])
def test_a_dialect_that_is_not_read_is_refused_by_all_with_one_sentence_that_names_the_file(
    dialect: str, read: Callable[[Path], object], content: bytes, tmp_path: Path
) -> None:
    change, says = REFUSED[dialect]
    file = tmp_path / "it.csv"
    file.write_bytes(change(content))
    with pytest.raises(InputRefused, match=says) as refused:
        read(file)
    assert "it.csv" in str(refused.value)
    if "missing" not in says and "times" not in says:
        assert str(refused.value).count(str(file)) == 1


@pytest.mark.parametrize("read", [scored, checked])
def test_a_value_with_a_line_break_is_refused_where_a_line_is_a_row(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    file = tmp_path / "it.csv"
    file.write_bytes(DATA.replace(b",45,", b',"4\n5",', 1))
    with pytest.raises(InputRefused, match=r"(row 0|line 2).*not closed on its line"):
        read(file)


def test_a_comment_beside_a_label_may_have_several_lines(tmp_path: Path) -> None:
    (tmp_path / "it.csv").write_text('prediction_id,label,comment\na,1,"seen\ntwice"\nb,0,\n')
    assert labelled(tmp_path / "it.csv") == ["1", "0"]


BYTES = st.lists(
    st.sampled_from(
        [b"id", b"AGEP", b"SEX", b"7", b"45", b",", b"\n", b"\r", b"\r\n", b'"', b";", b"\0", b"\xff", b" "]
    ),
    max_size=25,
).map(b"".join)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")  # that only Arrow's thread sees
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=BYTES, begins=st.booleans())
def test_any_bytes_are_read_or_refused_and_never_end_in_a_traceback(
    content: bytes, begins: bool, tmp_path: Path
) -> None:
    file = tmp_path / "it.csv"
    file.write_bytes((b"id,year,AGEP,SEX,employed\n" if begins else b"") + content)
    outcomes: dict[str, bool] = {}
    for read in (scored, checked):
        try:
            read(file)
            outcomes[read.__name__] = True
        except InputRefused:
            outcomes[read.__name__] = False
    assert outcomes["scored"] or not outcomes["checked"], "what is taken for training can be scored"
    file.write_bytes((b"prediction_id,label\n" if begins else b"") + content)
    try:
        labelled(file)
    except InputRefused as refused:
        assert str(refused)  # noqa: PT017 # most are refused, some are read


def test_a_column_of_another_case_in_parquet_is_named(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({"id": [7], "year": [2015], "agep": [45], "SEX": [1], "employed": [1]}), tmp_path / "it.parquet"
    )
    with pytest.raises(InputRefused, match=r"the column AGEP is missing; it has .* Rename 'agep' to 'AGEP'"):
        scored(tmp_path / "it.parquet")
    with pytest.raises(InputRefused, match=r"'AGEP': missing in all 1 rows; there is 'agep', rename it$"):
        checked(tmp_path / "it.parquet")
