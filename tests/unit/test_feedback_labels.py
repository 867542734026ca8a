"""Late labels: taken in once, compared with the log and each other, and nothing dropped without a word."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.errors import InputRefused
from ml.feedback._incoming import from_file, from_request
from ml.feedback._tables import parquet, read_table
from ml.feedback.labels import LABELS, REJECTED, SCHEMA, LabelReport, add_labels, joined, read_labels
from ml.problem import Problem
from ml.store import Store
from tests.live import labels_file, log_rows, write_log

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MORNING = datetime(2026, 3, 10, 6, tzinfo=UTC)
WINDOW = (NOW - timedelta(days=30), NOW + timedelta(days=1))


def add(store: Store, problem: Problem, file: Path, *, now: datetime = NOW) -> LabelReport:
    return add_labels(store, problem, from_file(file), "file", "ada", now)


@pytest.fixture
def ids(store: Store, small_problem: Problem) -> list[str]:
    return write_log(store, small_problem, log_rows(small_problem, 20, MORNING))


def held(store: Store) -> dict[str, int]:
    return dict(read_labels(store).select("prediction_id", "label").iter_rows())


def test_labels_are_joined_to_their_predictions(
    store: Store, small_problem: Problem, ids: list[str], tmp_path: Path
) -> None:
    report = add(store, small_problem, labels_file(tmp_path, {ids[3]: 1, ids[7]: 0}))
    assert (report.rows, report.accepted, report.rejected, report.is_new) == (2, 2, {}, True)
    table = joined(store, small_problem, *WINDOW).to_pylist()
    assert [(row["prediction_id"], row["label"], row["label_source"]) for row in table] == [
        (ids[3], 1, "file"),
        (ids[7], 0, "file"),
    ]
    assert table[0]["labelled_at"] == NOW
    assert set(small_problem.feature_names) < table[0].keys()


def test_every_label_that_does_not_count_is_kept_with_its_reason(
    store: Store, small_problem: Problem, ids: list[str], tmp_path: Path
) -> None:
    write_log(store, small_problem, log_rows(small_problem, 2, MORNING, prediction_id="twice"))
    add(store, small_problem, labels_file(tmp_path, {ids[0]: 1, ids[1]: 1}, "first.csv"))
    file = tmp_path / "second.csv"
    file.write_text(
        "prediction_id,label,at\n"
        f"{ids[0]},1,\n"  # doubled
        f"{ids[1]},0,\n"  # conflicting
        f"{ids[2]},1,\n{ids[2]},1,\n"  # the second is doubled
        f"{ids[3]},1,\n{ids[3]},0,\n"  # neither can be believed
        f"{ids[4]},7,\n{ids[4]},yes,\n{ids[4]},,\n"  # no codes
        f"{ids[5]},1,soon\n{ids[6]},1,2031-01-01\n{ids[6]},1,1969-12-31\n"  # no times
        "nobody,1,\n,1,\ntwice,1,\n"
        f"{ids[8]},1,2026-03-10T08:00:00+01:00\n"
    )
    report = add(store, small_problem, file)
    assert report.rejected == {
        "no-id": 1,
        "invalid-code": 3,
        "invalid-time": 3,
        "ambiguous": 1,
        "conflicting": 3,
        "doubled": 2,
    }
    assert (report.accepted, report.waiting) == (2, 1)
    assert report.rows == report.accepted + report.waiting + sum(report.rejected.values())
    assert report.examples["waiting"] == ["nobody = 1"]
    assert report.kept_in is not None
    kept = read_table(store, report.kept_in)
    assert kept.filter(reason="conflicting")["prediction_id"].to_list() == [ids[1], ids[3], ids[3]]
    assert held(store) == {ids[0]: 1, ids[1]: 1, ids[2]: 1, ids[8]: 1, "nobody": 1}
    times = dict(read_labels(store).select("prediction_id", "at").iter_rows())
    assert times[ids[8]] == datetime(2026, 3, 10, 7, tzinfo=UTC)


def test_the_same_bytes_are_taken_in_once(store: Store, small_problem: Problem, ids: list[str], tmp_path: Path) -> None:
    file = labels_file(tmp_path, {ids[0]: 1, "nobody": 0})
    first = add(store, small_problem, file)
    before = sorted(store.list())
    again = add(store, small_problem, file, now=NOW + timedelta(days=3))
    assert not again.is_new
    assert again == first.model_copy(update={"is_new": False})
    assert sorted(store.list()) == before


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_kill_in_the_middle_loses_and_doubles_nothing(
    store: Store,
    small_problem: Problem,
    ids: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    writes: int,
) -> None:
    file = labels_file(tmp_path, {ids[0]: 1, ids[1]: 0, "nobody": 0, ids[2]: 7})
    real, done = Store.write, 0

    def dying(self: Store, key: str, data: bytes) -> None:
        nonlocal done
        if done == writes:
            raise KeyboardInterrupt
        done += 1
        real(self, key, data)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", dying)
        with pytest.raises(KeyboardInterrupt):
            add(store, small_problem, file)
    report = add(store, small_problem, file, now=NOW + timedelta(days=1))
    counts = (report.accepted, report.waiting, report.rejected, report.is_new)
    assert counts == (2, 1, {"invalid-code": 1}, True)
    assert held(store) == {ids[0]: 1, ids[1]: 0, "nobody": 0}
    assert len([key for key in store.list(LABELS) if key.endswith(".parquet")]) == 2


def test_a_review_holds_before_files_and_the_latest_review_before_earlier_ones(
    store: Store, small_problem: Problem, ids: list[str], tmp_path: Path
) -> None:
    add(store, small_problem, labels_file(tmp_path, {ids[0]: 1}))
    for hour, label in ((9, 1), (11, 0), (10, 1)):
        row = {
            "prediction_id": ids[0],
            "label": label,
            "source": "review",
            "author": "eve",
            "note": "",
            "at": datetime(2026, 3, 10, hour, tzinfo=UTC),
            "arrived_at": NOW,
        }
        store.write(f"labels/day=2026-03-10/{hour}.parquet", parquet(pl.DataFrame([row], SCHEMA)))
    assert held(store) == {ids[0]: 0}
    late = add(store, small_problem, labels_file(tmp_path, {ids[0]: "1.0"}, "late.csv"))
    assert late.rejected == {"conflicting": 1}


def test_shadow_answers_and_shared_identifiers_are_not_joined(
    store: Store, small_problem: Problem, tmp_path: Path
) -> None:
    champion = write_log(store, small_problem, log_rows(small_problem, 2, MORNING))
    write_log(store, small_problem, log_rows(small_problem, 2, MORNING, seed=2, role="shadow"))
    report = add(store, small_problem, labels_file(tmp_path, dict.fromkeys(champion, 1)))
    assert report.accepted == 2  # its shadow does not make an identifier ambiguous
    table = joined(store, small_problem, *WINDOW)
    assert set(table["role"].to_pylist()) == {"champion"}
    write_log(store, small_problem, log_rows(small_problem, 1, MORNING, seed=3))  # a client that repeats r-0
    assert joined(store, small_problem, *WINDOW)["prediction_id"].to_pylist() == ["r-1"]


def test_parquet_says_the_same_as_csv(store: Store, small_problem: Problem, ids: list[str], tmp_path: Path) -> None:
    file = tmp_path / "labels.parquet"
    at = [date(2026, 3, 9), date(2026, 3, 10), None]
    table = {"prediction_id": ids[:3], "label": [1.0, 0.0, None], "at": at, "else": ["a", "b", "c"]}
    pl.DataFrame(table).write_parquet(file)
    report = add(store, small_problem, file)
    assert report.rejected == {"invalid-code": 1}
    assert held(store) == {ids[0]: 1, ids[1]: 0}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty, 0 bytes"),
        (b"prediction_id,label\n", "holds no label"),
        (b"id,label\na,1\n", "the column prediction_id is missing; it has id, label"),
        (b"prediction_id,label,label\na,1,0\n", "the column label is there 2 times"),
        (b"prediction_id,label,at,at\na,1,,\n", "the column at is there 2 times"),
        (b"prediction_id;label\na;1\n", "separated by semicolons"),
        (b"Prediction_ID,label\na,1\n", "Rename 'Prediction_ID' to 'prediction_id'"),
        (b"prediction_id,label\ra,1\r", "bare carriage returns"),
        (b"prediction_id,label\na,1,2,3\n", "not readable"),
        (b"PAR1 and then nothing", "not readable"),
        (b"\xff\xfe\x00\x01", "UTF-16"),
        (parquet(pl.DataFrame({"prediction_id": ["a"], "label": [[1]]})), "lists or records in the column 'label'"),
    ],
)
def test_a_file_that_holds_no_labels_is_refused_and_leaves_nothing(
    store: Store, small_problem: Problem, tmp_path: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "labels"
    file.write_bytes(content)
    with pytest.raises(InputRefused, match=says):
        add(store, small_problem, file)
    assert list(store.list()) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"labels": 1}',
        b'{"labels": []}',
        b'{"labels": [{"prediction_id": "a"}]}',
        b'{"labels": [{"x": 1}]}',
    ],
)
def test_a_request_that_is_no_list_of_labels_is_refused(body: bytes) -> None:
    with pytest.raises(InputRefused):
        from_request(body)


def test_a_request_is_taken_in_as_a_file_is(store: Store, small_problem: Problem, ids: list[str]) -> None:
    labels = [{"prediction_id": ids[0], "label": 1, "at": "2026-03-10T07:00:00Z"}, {"prediction_id": "?", "label": 0}]
    body = json.dumps({"labels": labels}).encode()
    report = add_labels(store, small_problem, from_request(body), "api", "survey", NOW)
    assert (report.accepted, report.waiting, report.rejected) == (1, 1, {})
    assert read_labels(store)["source"].to_list() == ["api", "api"]


row = st.tuples(st.sampled_from(["r-0", "r-1", "r-2", "x", ""]), st.sampled_from(["0", "1", "2", "", "1.0", "NaN"]))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(st.lists(row, min_size=1, max_size=8), min_size=1, max_size=4))
def test_every_row_is_accepted_or_kept_and_a_prediction_has_one_label(
    tmp_path_factory: pytest.TempPathFactory, small_problem: Problem, files: list[list[tuple[str, str]]]
) -> None:
    folder = tmp_path_factory.mktemp("law")
    store = Store((folder / "store").as_uri())
    write_log(store, small_problem, log_rows(small_problem, 3, MORNING))
    accepted, waiting = 0, set[str]()
    for number, rows in enumerate(files):
        file = folder / f"{number}.csv"
        file.write_text("prediction_id,label\n" + "".join(f"{key},{label}\n" for key, label in rows))
        report = add(store, small_problem, file)
        assert report.rows == len(rows) == report.accepted + report.waiting + sum(report.rejected.values())
        aside = read_table(store, report.kept_in) if report.kept_in else pl.DataFrame()
        assert len(aside) == sum(report.rejected.values())
        accepted += report.accepted if report.is_new else 0
        waiting |= {"x"} if report.waiting else set()
    labels = joined(store, small_problem, *WINDOW)["prediction_id"].to_pylist()
    assert len(set(labels)) == len(labels) == accepted
    assert set(read_labels(store)["prediction_id"]) - set(labels) == waiting
    assert not any(key.startswith(f"{REJECTED}/files") for key in store.list())
