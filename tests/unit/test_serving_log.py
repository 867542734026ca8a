"""The prediction log: no row is lost, doubled, or kept beyond what the problem definition allows."""

import io
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import InputRefused
from ml.model.requests import MAXIMUM_SUBJECT
from ml.predictions import PREFIX, log_schema, partition, read_log
from ml.problem import Problem, load_problem
from ml.serving.command import serve, settings_of
from ml.serving.log.frames import Logged, prediction_ids
from ml.serving.log.minimise import Minimiser
from ml.serving.log.spool import MISSING, Frame, Segment, segments
from ml.serving.log.store import read_segment, store_segment
from ml.serving.log.store import storing as storing_in_a_process
from ml.serving.log.writer import LogSettings, PredictionLog
from ml.serving.telemetry.metrics import ServerMetrics
from ml.store import Store
from ml.subjects import Pseudonyms, pseudonym

PROBLEM = load_problem()
COLUMNS = tuple(PROBLEM.feature_names)
RELEASE = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def logged(name: str, rows: int = 1, **changes: Any) -> Logged:
    given: dict[str, Any] = {
        "prediction_ids": prediction_ids(name, rows),
        "release": RELEASE,
        "role": "champion",
        "columns": COLUMNS,
        "matrix": np.arange(rows * len(COLUMNS), dtype=np.int64).reshape(rows, len(COLUMNS)),
        "scores": np.linspace(0, 1, rows),
        "decisions": np.ones(rows, dtype=np.int64),
        "threshold": 0.4,
        "at": NOON,
    }
    return Logged(**given | changes)


def log_of(tmp_path: Path, store: Store, problem: Problem = PROBLEM, **changes: Any) -> PredictionLog:
    spool = LogSettings(tmp_path / "spool", **{"flush_interval_s": 60.0} | changes)
    return PredictionLog(store, problem, spool, ServerMetrics())


def stored(store: Store, problem: Problem = PROBLEM) -> pa.Table:
    return read_log(store, problem, NOON - timedelta(days=2), NOON + timedelta(days=2))


def test_what_is_logged_is_what_the_loop_reads(tmp_path: Path, store: Store) -> None:
    log = log_of(tmp_path, store)
    log.start()
    log.put(logged("one", subjects=["Ada"], reasons=['[{"feature": "AGEP"}]']))
    log.put(logged("many", 3, release=OTHER, role="shadow", subjects=[None, "Ada", "Bob"], at=NOON + timedelta(days=1)))
    log.close()
    table = stored(store)
    assert table.schema.equals(log_schema(PROBLEM))
    assert table["prediction_id"].to_pylist() == ["one", "many-0", "many-1", "many-2"]
    assert table["subject"].to_pylist() == [
        pseudonym(store, "Ada"),
        None,
        *(pseudonym(store, n) for n in ("Ada", "Bob")),
    ]
    assert table["reasons"].to_pylist() == ['[{"feature": "AGEP"}]', None, None, None]
    assert table.select(COLUMNS).to_pylist()[1:] == [
        dict(zip(COLUMNS, r, strict=True)) for r in logged("", 3).matrix.tolist()
    ]
    keys = list(store.list(PREFIX))
    assert {key.rpartition("/")[0] for key in keys} == {
        partition(date(2026, 3, 1), RELEASE),
        partition(date(2026, 3, 2), OTHER),
    }
    assert b"Ada" not in b"".join(store.read(key) for key in keys)
    assert segments(tmp_path / "spool") == []


def test_the_order_of_a_releases_columns_does_not_matter(tmp_path: Path, store: Store) -> None:
    log = log_of(tmp_path, store)
    log.start()
    log.put(logged("turned", columns=COLUMNS[::-1]))
    log.put(logged("lacking", columns=COLUMNS[1:], matrix=np.ones((1, len(COLUMNS) - 1))))
    log.close()
    rows = {row["prediction_id"]: row for row in stored(store).to_pylist()}
    assert rows["turned"][COLUMNS[0]] == len(COLUMNS) - 1
    assert (rows["lacking"][COLUMNS[0]], rows["lacking"][COLUMNS[1]]) == (None, 1)


def test_a_full_queue_drops_and_counts_and_never_waits(tmp_path: Path, store: Store) -> None:
    metrics = ServerMetrics()
    log = PredictionLog(store, PROBLEM, LogSettings(tmp_path / "spool", queue_rows=10), metrics)
    for number in range(5):
        log.put(logged(f"r{number}", 4))
    assert b'mlops_prediction_log_rows_total{result="dropped"} 12.0' in metrics.text()
    log.start()
    log.close()
    assert stored(store).num_rows == 8
    assert b'mlops_prediction_log_rows_total{result="stored"} 8.0' in metrics.text()


def test_a_folder_that_nobody_empties_keeps_the_newest(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = ServerMetrics()

    def log_one(name: str, **limit: Any) -> None:
        log = PredictionLog(store, PROBLEM, LogSettings(tmp_path / "spool", **limit), metrics)
        log.start()
        log.put(logged(name, 500))
        log.close()

    def left() -> list[str]:
        return sorted({name.partition("-")[0] for name in stored(store)["prediction_id"].to_pylist()})

    log_one("a")
    a_file = sum(file.stat().st_size for file in Path(store.path(PREFIX)).rglob("*.parquet"))
    log_one("b", keep_bytes=a_file * 5 // 2)
    assert left() == ["a", "b"], "it has room for two"
    for name in "cd":
        log_one(name, keep_bytes=a_file * 5 // 2)
    assert left() == ["c", "d"]
    assert b'mlops_prediction_log_rows_total{result="discarded"} 1000.0' in metrics.text()
    assert "500 of the oldest predictions were discarded" in caplog.text


def test_only_a_folder_has_a_limit(tmp_path: Path) -> None:
    arguments = ["--deployment", str(tmp_path / "d.json"), "--maximum-log-mb", "5", "--store"]
    with serve.make_context("serve", [*arguments, tmp_path.as_uri()]) as context:
        assert settings_of(context.params).maximum_log_mb == 5
    with (
        serve.make_context("serve", [*arguments, "memory://shared"]) as context,
        pytest.raises(InputRefused, match="mlops retention"),
    ):
        settings_of(context.params)


def test_a_store_that_is_away_delays_and_loses_nothing(tmp_path: Path, store: Store) -> None:
    place, away = Path(store.path("-")).parent, tmp_path / "away"
    log = log_of(tmp_path, store)
    log.start()
    log.put(logged("one"))
    if place.exists():
        place.rename(away)
    place.write_text("no folder")
    log.close()
    assert len(segments(tmp_path / "spool")) == 1
    place.unlink()
    if away.exists():
        away.rename(place)
    again = log_of(tmp_path, store)
    again.start()
    again.close()
    assert stored(store)["prediction_id"].to_pylist() == ["one"]


def test_without_the_key_named_rows_wait_and_are_never_written_by_name(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(tmp_path, store)
    log.put(logged("named", subjects=["Ada"]))
    with monkeypatch.context() as broken:
        broken.setattr("ml.serving.log.frames.Pseudonyms", lambda _store: (_ for _ in ()).throw(OSError("away")))
        log._flush()
    log.put(logged("later"))
    assert segments(tmp_path / "spool") == []
    log._flush()
    log._flush()
    log._rotate()
    log._store_segments()
    assert sorted(stored(store)["prediction_id"].to_pylist()) == ["later", "named"]


def frame(*numbers: int) -> Frame:
    """Rows of one release each: odd numbers of the one, even ones of the other."""
    microseconds = [int(NOON.timestamp() * 1e6)] * len(numbers)
    return Frame(
        RELEASE if numbers[0] % 2 else OTHER,
        "champion",
        0.4,
        [str(n) for n in numbers],
        np.array(microseconds, "<i8").tobytes(),
        np.full((len(numbers), len(COLUMNS)), MISSING, "<i4").tobytes(),
        np.zeros(len(numbers), "<f8").tobytes(),
        np.zeros(len(numbers), "i1").tobytes(),
    )


@pytest.fixture(scope="module")
def spooled(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int]]:
    """A segment of three frames, and its size after each of them."""
    folder = tmp_path_factory.mktemp("spooled")
    segment, sizes = Segment(folder, COLUMNS), []
    for numbers in ([0, 2], [3], [4, 6, 8]):
        segment.append(frame(*numbers))
        sizes.append(segments(folder)[0].stat().st_size)
    segment.close()
    return segments(folder)[0].read_bytes(), sizes


@given(data=st.data())
@settings(deadline=None)
def test_a_segment_that_is_torn_anywhere_gives_every_row_before_the_tear(
    spooled: tuple[bytes, list[int]], data: st.DataObject
) -> None:
    whole, sizes = spooled
    cut = data.draw(st.integers(0, len(whole)))
    table = read_segment(io.BytesIO(whole[:cut]))
    found = [] if table is None else table["prediction_id"].to_pylist()
    survived = sum(size <= cut for size in sizes)
    assert found == ["0", "2", "3", "4", "6", "8"][: (0, 2, 3, 6)[survived]]


@given(data=st.data())
@settings(deadline=None)
def test_a_segment_that_was_altered_gives_no_row_from_there_on(
    spooled: tuple[bytes, list[int]], data: st.DataObject
) -> None:
    whole, sizes = spooled
    at = data.draw(st.integers(0, len(whole) - 1))
    altered = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    table = read_segment(io.BytesIO(altered))
    found = [] if table is None else table["prediction_id"].to_pylist()
    assert found == ["0", "2", "3", "4", "6", "8"][: (0, 2, 3)[sum(size <= at for size in sizes)]]


def test_storing_a_segment_again_after_a_kill_writes_the_same_objects(
    tmp_path: Path, store: Store, spooled: tuple[bytes, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "left.spool"
    file.write_bytes(spooled[0])
    with monkeypatch.context() as killed:
        killed.setattr(Path, "unlink", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store_segment(store, file)
    before = {key: store.read(key) for key in store.list(PREFIX)}
    assert store_segment(store, file) == 6
    assert {key: store.read(key) for key in store.list(PREFIX)} == before
    assert sorted(stored(store)["prediction_id"].to_pylist()) == ["0", "2", "3", "4", "6", "8"]
    assert not file.exists()
    assert store_segment(store, file) == 0


def test_a_segment_that_is_written_is_left_alone(tmp_path: Path, store: Store) -> None:
    segment = Segment(tmp_path, COLUMNS)
    segment.append(frame(1))
    (file,) = segments(tmp_path)
    assert store_segment(store, file) == 0
    segment.close()
    assert store_segment(store, file) == 1


def test_a_full_disk_costs_only_what_could_not_be_written(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(tmp_path, store)
    log.put(logged("before"))
    log._flush()
    with monkeypatch.context() as full:
        full.setattr("ml.serving.log.spool.os.fdatasync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
        log.put(logged("during"))
        log._flush()
    log.put(logged("after"))
    log._flush()
    log._rotate()
    log._store_segments()
    assert {"before", "after"} <= set(stored(store)["prediction_id"].to_pylist())


def changed(rules: dict[str, str]) -> Problem:
    definition = load_problem().model_dump()
    for name, rule in rules.items():
        definition["prediction_log"]["sensitive"][name]["logged"] = rule
    return Problem.model_validate(definition)


@given(age=st.integers(0, 99))
def test_minimising_keeps_no_more_than_the_definition_says(age: int) -> None:
    problem = changed({"AGEP": "banded", "CIT": "omitted"})
    row = {f.name: 1 for f in problem.features} | {"AGEP": age}
    (values,) = Minimiser(problem).kept(list(row), np.array([list(row.values())])).tolist()
    kept = dict(zip(row, values, strict=True))
    bands = next(p.bands for p in problem.protected if p.column == "AGEP") or ()
    assert (kept["AGEP"], kept["CIT"], kept["SEX"]) == (max((b for b in bands if b <= age), default=0), MISSING, 1)


@pytest.mark.parametrize(
    ("rules", "said"),
    [({"SEX": "banded"}, "gives it no bands"), ({"SCHL": "exact"}, "SCHL"), ({"SEX": "blurred"}, "omitted")],
)
def test_a_rule_that_makes_no_sense_is_refused(rules: dict[str, str], said: str) -> None:
    definition = load_problem().model_dump()
    for name, rule in rules.items():
        definition["prediction_log"]["sensitive"][name] = {"logged": rule, "why": "for the sake of the test"}
    with pytest.raises(ValueError, match=said):
        Problem.model_validate(definition)


def test_a_sensitive_feature_without_a_rule_is_refused() -> None:
    definition = load_problem().model_dump()
    del definition["prediction_log"]["sensitive"]["SEX"]
    with pytest.raises(ValueError, match="SEX"):
        Problem.model_validate(definition)


@given(name=st.text(min_size=1, max_size=MAXIMUM_SUBJECT).filter(str.strip))
def test_every_name_that_a_request_may_hold_has_a_pseudonym(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    store = Store((tmp_path_factory.getbasetemp() / "names").as_uri())
    assert len(Pseudonyms(store).of(name)) == 64


def test_an_end_does_not_wait_for_who_gives_way(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    starved = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.PIPE)

    def storing(store: Store, spool: Path, _: int | None, *, is_urgent: bool) -> subprocess.Popen[bytes]:
        asked.append(is_urgent)
        return storing_in_a_process(store, spool, is_urgent=True) if is_urgent else starved

    monkeypatch.setattr("ml.serving.log.writer.storing", storing)
    left = Segment(tmp_path / "spool", COLUMNS)  # so that the first look finds something to store
    left.append(frame(1))
    left.close()
    log = log_of(tmp_path, store)
    log.start()
    while not asked:
        time.sleep(0.01)
    log.put(logged("two"))
    log.close()
    assert starved.wait(5) == -signal.SIGTERM
    assert asked == [False, True]
    assert sorted(stored(store)["prediction_id"].to_pylist()) == ["1", "two"]
