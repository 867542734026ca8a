"""Every reader of a column takes a value for the same number, or refuses it: online, in bulk, checked, as a label."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.bundle.schema import BundleSchema
from ml.columns.spelling import MISSING as SPELLED_MISSING
from ml.data.quality import DataRefused
from ml.data.read import examine, read_file
from ml.errors import InputRefused
from ml.feedback._incoming import from_file, from_request
from ml.model.requests import RequestReader, RequestRefused, Rows
from ml.model.tables import TableReader
from ml.scoring.open import open_source
from ml.scoring.rows import RowReader
from ml.serving.protocols.sagemaker import read_csv
from ml.serving.protocols.tensors import TYPES, Tensor, rows
from tests.spellings import (
    ARROW,
    JSON,
    MISSING,
    NAME,
    OTHER,
    REFUSED,
    TENSORS,
    TEXT,
    Verdict,
    parquet,
    problem,
    row_of,
    wanted,
)

pytestmark = pytest.mark.slow

Reader = Callable[[Any], Verdict]


PROBLEMS = {nullable: problem(nullable=nullable) for nullable in (True, False)}
SCHEMAS = {nullable: BundleSchema.of(each) for nullable, each in PROBLEMS.items()}


class Model:
    """What of a served model the protocols need."""

    def __init__(self, nullable: bool) -> None:
        schema = SCHEMAS[nullable]
        self.native = RequestReader(schema, maximum_rows=10)
        self.tables: Any = TableReader(schema.features, self.native.dtype, maximum_rows=10)


SEX = Tensor(OTHER, [1], "INT64", {}, msgspec.Raw(b"[1]"))
MODELS: dict[bool, Any] = {nullable: Model(nullable) for nullable in (True, False)}


def of_matrix(values: np.ndarray) -> Verdict:
    ((value, other),) = values.tolist()
    assert other == 1
    if value != value:
        return MISSING
    assert not (value == 0 and np.signbit(value)), "minus nothing is nothing"
    return int(value)


def online(read: Callable[[Any], Rows]) -> Verdict:
    try:
        return of_matrix(read(None).matrix)
    except RequestRefused:
        return REFUSED


def json_readers(nullable: bool) -> dict[str, Reader]:
    model = MODELS[nullable]

    def tensor(text: str) -> Rows:
        return rows(model, [Tensor(NAME, [1], "FP64", {}, msgspec.Raw(f"[{text}]".encode())), SEX], b"")

    def whole_tensor(text: str) -> Tensor:
        return Tensor("rows", [1, 2], "FP64", {}, msgspec.Raw(f"[[{text}, 1]]".encode()))

    ways: dict[str, Callable[[str], Rows]] = {
        "native row": lambda text: model.native.read(f'{{"{NAME}": {text}, "SEX": 1}}'.encode()),
        "native rows": lambda text: model.native.read(f'{{"rows": [{{"{NAME}": {text}, "SEX": 1}}]}}'.encode()),
        "records": lambda text: model.tables.rows(f'[{{"{NAME}": {text}, "SEX": 1}}]'.encode()),
        "lists": lambda text: model.tables.rows(f"[[{text}, 1]]".encode()),
        "columns": lambda text: model.tables.columns(f'{{"{NAME}": [{text}], "SEX": [1]}}'.encode()),
        "JSON tensor": tensor,
        "JSON tensor of all columns": lambda text: rows(model, [whole_tensor(text)], b""),
    }
    return {name: partial(lambda way, text: online(lambda _: way(text)), way) for name, way in ways.items()}


def bulk(nullable: bool, source: Path) -> Verdict:
    """What bulk scoring hands to the model."""
    reader = RowReader(SCHEMAS[nullable], ["id"])
    try:
        opened = open_source(str(source), reader, 10)
        (batch,) = (batch for part in opened.parts for batch in opened.read(part, 10))
        assert not batch.broken
        checked = reader.check(batch.rows, opened.schema)
    except InputRefused:
        return REFUSED
    return of_matrix(checked.matrix) if checked.fits.all() else REFUSED


def checked(nullable: bool, source: Path) -> Verdict:
    """What `mlops data check` says, and what training reads."""
    if source.is_dir():
        return of_folder(nullable, source)
    try:
        frame = read_file(PROBLEMS[nullable], source)
    except DataRefused:
        return REFUSED
    return of_matrix(frame[[NAME, OTHER]].to_numpy(dtype=np.float64))


def of_folder(nullable: bool, source: Path) -> Verdict:
    """What the statistics of the check say, which is all that comes of a folder."""
    report = examine(PROBLEMS[nullable], source)
    (column,) = (column for column in report.columns if column.name == NAME)
    if not report.passed:
        return REFUSED
    return MISSING if column.nulls else int(column.minimum or 0)


def as_csv(row: dict[str, Any]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(row)
    writer.writerow(row.values())
    return text.getvalue().encode()


def text_readers(nullable: bool, folder: Path) -> dict[str, Reader]:
    model, file = MODELS[nullable], folder / "it.csv"

    def in_file(read: Callable[[bool, Path], Verdict], text: str) -> Verdict:
        file.write_bytes(as_csv(row_of(text)))
        return read(nullable, file)

    def csv_online(named: bool, text: str) -> Verdict:
        body = as_csv({NAME: text, OTHER: 1})
        return online(lambda _: read_csv(model, body if named else body.partition(b"\n")[2]))

    return {
        "CSV with names": partial(csv_online, True),
        "CSV": partial(csv_online, False),
        "bulk CSV": partial(in_file, bulk),
        "checked CSV": partial(in_file, checked),
    }


def label(file: Path) -> Verdict:
    """What a file of one label says, for codes from 0 to 99."""
    try:
        (found,) = from_file(file).rows["label"].to_list()
    except InputRefused:
        return REFUSED
    return MISSING if found is None else int(found) if found in map(str, range(100)) else REFUSED


def differences(readers: dict[str, Reader], value: Any, counts: Verdict) -> Iterator[str]:
    for name, read in readers.items():
        if (found := read(value)) != counts:
            yield f"{name}: {value!r:.60} counts as {found}, not {counts}"


@pytest.mark.parametrize("nullable", [True, False])
def test_every_reader_of_json_takes_a_spelling_alike(nullable: bool) -> None:
    readers = json_readers(nullable)
    found = [each for text, counts in JSON.items() for each in differences(readers, text, wanted(counts, nullable))]
    assert not found


@pytest.mark.parametrize("nullable", [True, False])
def test_every_reader_of_text_takes_a_spelling_alike(nullable: bool, tmp_path: Path) -> None:
    readers = text_readers(nullable, tmp_path)
    assert len(TEXT) >= 150
    found = [each for text, counts in TEXT.items() for each in differences(readers, text, wanted(counts, nullable))]
    assert not found


@pytest.mark.parametrize("nullable", [True, False])
def test_a_folders_name_is_read_as_a_cell_is(nullable: bool, tmp_path: Path) -> None:
    without = {name: [value] for name, value in row_of(0).items() if name != NAME}
    found: list[str] = []
    for number, (text, counts) in enumerate(TEXT.items()):
        if not text or len(quote(text, safe="")) > 200:
            continue
        folder = tmp_path / str(number)
        (folder / f"{NAME}={quote(text, safe='')}").mkdir(parents=True)
        pq.write_table(pa.table(without), folder / f"{NAME}={quote(text, safe='')}" / "it.parquet")
        readers: dict[str, Reader] = {"bulk": partial(bulk, nullable), "checked": partial(checked, nullable)}
        found += [f"{text!r}: {each}" for each in differences(readers, folder, wanted(counts, nullable))]
    assert not found


@pytest.mark.parametrize("nullable", [True, False])
@pytest.mark.parametrize(("kind", "value", "counts"), ARROW, ids=lambda each: str(each)[:40])
def test_every_reader_of_parquet_takes_a_value_of_a_type_alike(
    kind: pa.DataType, value: Any, counts: Verdict, nullable: bool, tmp_path: Path
) -> None:
    file = parquet(tmp_path, kind, value)
    readers: dict[str, Reader] = {"bulk": partial(bulk, nullable), "checked": partial(checked, nullable)}
    assert not list(differences(readers, file, wanted(counts, nullable)))


@pytest.mark.parametrize("nullable", [True, False])
@pytest.mark.parametrize(("datatype", "kind", "value", "counts"), TENSORS)
def test_a_binary_tensor_is_read_as_a_column_of_its_type(
    datatype: str, kind: str, value: Any, counts: Verdict, nullable: bool
) -> None:
    data = np.array([value], kind).tobytes()
    tensor = Tensor(NAME, [1], datatype, {"binary_data_size": len(data)})
    assert TYPES[datatype] == kind
    assert online(lambda _: rows(MODELS[nullable], [tensor, SEX], data)) == wanted(counts, nullable)


def test_a_label_is_spelled_as_every_other_number_is(tmp_path: Path) -> None:
    def in_file(text: str) -> Verdict:
        (tmp_path / "it.csv").write_bytes(as_csv({"prediction_id": "a", "label": text}))
        return label(tmp_path / "it.csv")

    assert not [each for text, counts in TEXT.items() for each in differences({"CSV": in_file}, text, counts)]


@pytest.mark.parametrize(("kind", "value", "counts"), ARROW, ids=lambda each: str(each)[:40])
def test_a_label_has_the_types_that_every_other_number_has_and_may_be_text(
    kind: pa.DataType, value: Any, counts: Verdict, tmp_path: Path
) -> None:
    file = parquet(tmp_path, kind, value, {"prediction_id": "a"}, "label")
    assert label(file) == (TEXT[value] if isinstance(value, str) else counts)


@pytest.mark.parametrize(("text", "counts"), JSON.items())
def test_a_label_that_is_sent_is_a_number_too(text: str, counts: Verdict) -> None:
    body = f'{{"labels": [{{"prediction_id": "a", "label": {text}}}]}}'.encode()
    try:
        (found,) = from_request(body).rows["label"].to_list()
    except InputRefused:
        found = None
    in_domain = found in map(str, range(100))
    assert (int(found) if in_domain else REFUSED) == wanted(counts, nullable=False)


PIECES = [
    "0",
    "1",
    "4",
    "5",
    "9",
    "45",
    "00",
    "000",
    ".",
    "e",
    "E",
    "+",
    "-",
    " ",
    "\t",
    "x",
    "_",
    ",",
    "٤",
    "inf",
    "NA",
]
SPELLED = st.lists(st.sampled_from(PIECES), max_size=7).map("".join) | st.text(max_size=4) | st.floats().map(repr)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=SPELLED.filter(lambda text: not set(text) & set("\r\n\0")), nullable=st.booleans())
def test_any_text_counts_alike_everywhere(text: str, nullable: bool, tmp_path: Path) -> None:
    verdicts = {name: read(text) for name, read in text_readers(nullable, tmp_path).items()}
    assert len(set(verdicts.values())) == 1, verdicts
    try:
        is_number = type(json.loads(text)) in (int, float) and text.strip() == text
    except ValueError:
        is_number = False
    if is_number and "N" not in text and "I" not in text:  # Python's own JSON has NaN and Infinity
        verdicts |= {name: read(text) for name, read in json_readers(nullable).items()}
        assert len(set(verdicts.values())) == 1, verdicts


def test_the_page_on_values_shows_what_the_table_holds() -> None:
    page = (Path(__file__).parents[2] / "docs" / "values.md").read_text(encoding="utf-8")
    text = page.partition("## Text")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.*`.*) \| (45|0|missing|refused) \|$", text, re.MULTILINE)
    assert [counts for _, counts in rows] == ["45", "0", "missing", "refused"]
    shown = {cell: counts for cells, counts in rows for cell in re.findall(r"`([^`]+)`", cells)}
    assert {cell: str(TEXT[cell]) for cell in shown} == shown
    assert {cell for cell, counts in shown.items() if counts == "missing"} == SPELLED_MISSING - {""}
