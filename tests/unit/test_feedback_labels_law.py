"""The law of labels: in whatever order things arrive, none is lost, and none becomes another's."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.erasures import store_rows
from ml.feedback._incoming import from_file
from ml.feedback.labels import ALWAYS, add_labels, joined
from ml.governance.privacy import erase, erase_late
from ml.predictions import log_schema, partition, read_log
from ml.problem import Problem
from ml.release.stage import Stage
from ml.store import Store
from ml.subjects import pseudonym
from tests.live import RELEASE, labels_file, log_rows
from tests.stages import AUTHOR, stage

pytestmark = pytest.mark.slow

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
PEOPLE = ("anna", "bert")
NAMES = ("p", "q", "r")
CODES = (0, 1)

names, people = st.sampled_from(NAMES), st.sampled_from(PEOPLE)
files = st.lists(
    st.dictionaries(names, st.sampled_from(CODES), min_size=1), min_size=1, max_size=4, unique_by=lambda rows: str(rows)
)
# What happens, an hour apart. A write is killed, or another writer comes between, before the change of that number.
event = st.one_of(
    st.tuples(st.just("predict"), names, people),
    st.tuples(st.just("store"), st.integers(0, 9)),
    st.tuples(st.just("label"), st.integers(0, 3)),
    st.tuples(st.just("killed"), st.integers(0, 3), st.integers(1, 4)),
    st.tuples(st.just("two"), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("erase"), people),
)


class Made(NamedTuple):
    name: str
    person: str
    at: datetime
    row: dict[str, Any]


class _Killed(BaseException):
    pass


@contextmanager
def at_change(number: int, act: Callable[[], None]) -> Generator[None]:
    """Do something before the change of that number that is made in a store; the changes of `act` itself count not."""
    done = 0
    with pytest.MonkeyPatch.context() as patch:
        for name in ("write", "create"):
            real = getattr(Store, name)

            def changed(self: Store, key: str, data: bytes, real: Callable[[Store, str, bytes], None] = real) -> None:
                nonlocal done
                done += 1
                if done == number + 1:
                    patch.undo()
                    act()
                real(self, key, data)

            patch.setattr(Store, name, changed)
        yield


class World:
    """A store, what its servers have not brought to it yet, and what must come of it all."""

    def __init__(self, root: Path, problem: Problem, batches: list[dict[str, int]]) -> None:
        self.root, self.problem = root, problem
        self.place: Stage = stage(root, "dev")
        self.now = BEGIN
        self.batches = [labels_file(root, rows, f"{number}.csv") for number, rows in enumerate(batches)]
        self.rows = batches
        self.spool: list[Made] = []
        self.made: list[Made] = []
        self.given: list[tuple[datetime, int]] = []
        self.erased: list[Made] = []

    def predict(self, name: str, person: str) -> None:
        subject = pseudonym(self.place.store, person)
        (row,) = log_rows(self.problem, 1, self.now, subject=subject, prediction_id=name)
        made = Made(name, person, self.now, row)
        self.spool.append(made)
        self.made.append(made)

    def store(self, number: int) -> None:
        if self.spool:
            made = self.spool.pop(number % len(self.spool))
            key = f"{partition(made.at.date(), RELEASE)}/{made.at:%H%M}.parquet"
            store_rows(self.place.store, key, pa.Table.from_pylist([made.row], log_schema(self.problem)))

    def label(self, number: int) -> None:
        number %= len(self.batches)
        self.given.append((self.now, number))
        add_labels(self.place.store, self.problem, from_file(self.batches[number]), "file", "a", self.now)

    def killed(self, number: int, change: int) -> None:
        def kill() -> None:
            raise _Killed

        with at_change(change, kill):
            try:
                self.label(number)
            except _Killed:
                return

    def two(self, first: int, second: int, change: int) -> None:
        def other() -> None:
            self.now += timedelta(minutes=1)
            self.label(second)

        with at_change(change, other):
            self.label(first)

    def erase(self, person: str) -> None:
        erase(self.place.store, self.place.ledger, self.place.signer(AUTHOR), person, self.now, lambda line: None)
        self.erased += [made for made in self.made if made.person == person and made not in self.erased]

    def end(self) -> None:
        """Everything that is under way arrives, and what was cut short is done again."""
        while self.spool:
            self.store(0)
        for number in sorted({number for _, number in self.given}):
            self.label(number)
        begin, signer = BEGIN - timedelta(days=1), self.place.signer(AUTHOR)
        erase_late(self.place.store, self.place.ledger, signer, begin, lambda line: None)

    def labels(self) -> dict[tuple[str, datetime], int]:
        table = joined(self.place.store, self.problem, *ALWAYS)
        return {(row["prediction_id"], row["at"]): row["label"] for row in table.to_pylist()}

    def expected(self) -> dict[tuple[str, datetime], set[int]]:
        """What each prediction's label may be that nobody shares and that was not erased: that of the file which came
        first after it was made, or of one that was given again until then."""
        found: dict[tuple[str, datetime], set[int]] = {}
        for made in self.made:
            if made in self.erased or sum(other.name == made.name for other in self.made) > 1:
                continue
            about = [(at, number) for at, number in self.given if made.name in self.rows[number] and at >= made.at]
            firsts = [at for at, number in about if at == min(at for at, other in self.given if other == number)]
            until = min(firsts, default=self.now)
            if codes := {self.rows[number][made.name] for at, number in about if at <= until}:
                found[made.name, made.at] = codes
        return found


@settings(max_examples=30, deadline=None)
@given(batches=files, events=st.lists(event, max_size=14))
def test_no_label_is_lost_in_any_order_and_none_becomes_anothers(
    tmp_path_factory: pytest.TempPathFactory,
    small_problem: Problem,
    batches: list[dict[str, int]],
    events: list[tuple[Any, ...]],
) -> None:
    world = World(tmp_path_factory.mktemp("law"), small_problem, batches)
    for what, *arguments in events:
        world.now += timedelta(hours=1)
        getattr(world, what)(*arguments)
    world.now += timedelta(hours=1)
    world.end()
    labels, expected = world.labels(), world.expected()
    assert labels.keys() == expected.keys()
    assert all(label in expected[made] for made, label in labels.items())
    gone = {made.name for made in world.erased} - {made.name for made in world.made if made not in world.erased}
    log = read_log(world.place.store, small_problem, *ALWAYS, columns=["prediction_id"])
    assert not gone & set(log["prediction_id"].to_pylist())
    for key in world.place.store.list("labels"):
        if key.endswith(".parquet"):
            kept = pq.read_table(world.place.store.open(key), partitioning=None)["prediction_id"].to_pylist()
            assert not gone & set(kept), key
