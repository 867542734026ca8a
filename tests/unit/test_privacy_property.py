"""The law of an erasure: whatever is held, nothing of the person is left, and every other row is as it was."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.feedback._tables import parquet
from ml.feedback.labels import LABELS, REJECTED, SCHEMA
from ml.feedback.queue import CASES, DECISIONS, Case, Decision
from ml.governance.privacy import erase
from ml.governance.records import AREAS
from ml.problem import Problem
from ml.store import Store
from ml.subjects import pseudonym
from tests.live import RELEASE, log_rows, write_log
from tests.stages import AUTHOR, stage

pytestmark = pytest.mark.slow

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
PEOPLE = ["anna", "bert", None]


@st.composite
def environments(draw: st.DrawFn) -> dict[str, Any]:
    """Predictions of three people on three days, two roles; labels, cases and decisions of some, and of unknown ids."""
    count = draw(st.integers(0, 20))

    def some(values: list[Any]) -> list[Any]:
        return draw(st.lists(st.sampled_from(values), min_size=count, max_size=count))

    ids = [*range(count), 99]
    about = st.lists(st.tuples(st.sampled_from(ids), st.integers(0, 2)), max_size=12)
    return {
        "people": some(PEOPLE),
        "days": some([0, 1, 2]),
        "roles": some(["champion", "shadow"]),
        "labels": draw(about),
        "rejected": draw(about),
        "cases": draw(st.sets(st.sampled_from(ids))),
        "decisions": draw(st.sets(st.sampled_from(ids))),
    }


def build(store: Store, problem: Problem, env: dict[str, Any]) -> set[str]:
    """Write it all; anna's prediction ids."""
    subjects = [person and pseudonym(store, person) for person in env["people"]]
    rows = log_rows(problem, len(subjects), NOW - timedelta(days=3), subject=subjects, role=env["roles"])
    for row, day in zip(rows, env["days"], strict=True):
        row["at"] += timedelta(days=day)
    write_log(store, problem, rows)
    tables = ((LABELS, env["labels"], SCHEMA), (REJECTED, env["rejected"], {**SCHEMA, "reason": pl.String}))
    for prefix, named, schema in tables:
        for day in {day for _, day in named}:
            batch = [{"prediction_id": f"r-{number}", "label": 1, "at": NOW} for number, of in named if of == day]
            store.write(f"{prefix}/day=2026-03-0{day + 1}/b.parquet", parquet(pl.DataFrame(batch, schema)))
    for number in env["cases"] | env["decisions"]:
        case = Case(
            case=f"c{number}", prediction_id=f"r-{number}", at=NOW, release=RELEASE, score=0.5, threshold=0.5,
            decision=1, why=("sample",), outside=(),
        )  # fmt: skip
        if number in env["cases"]:
            store.write(f"{CASES}/{case.name}", case.model_dump_json().encode())
        if number in env["decisions"]:
            decision = Decision(case=case, verdict="confirm", label=1, note="", reviewer="eve", at=NOW)
            store.write(f"{DECISIONS}/{case.name}", decision.model_dump_json().encode())
    return {row["prediction_id"] for row, person in zip(rows, env["people"], strict=True) if person == "anna"}


def held(store: Store) -> dict[str, list[Any]]:
    """Every row and record below the areas, by key."""
    keys = sorted({key for prefix in AREAS.values() for key in store.list(prefix)})
    return {
        key: pq.read_table(store.open(key), partitioning=None).to_pylist()
        if key.endswith(".parquet")
        else [store.read(key)]
        for key in keys
    }


def is_about(row: Any, ids: set[str]) -> bool:
    if isinstance(row, bytes):
        return any(f'"prediction_id":"{name}"'.encode() in row for name in ids)
    return row["prediction_id"] in ids


@settings(max_examples=60, deadline=None)
@given(env=environments())
def test_nothing_of_the_person_is_left_and_every_other_row_is_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, small_problem: Problem, env: dict[str, Any]
) -> None:
    root: Path = tmp_path_factory.mktemp("erasure")
    place = stage(root, "dev")
    hers = build(place.store, small_problem, env)
    before = held(place.store)
    rest = {key: [row for row in rows if not is_about(row, hers)] for key, rows in before.items()}
    done = erase(place.store, place.ledger, place.signer(AUTHOR), "anna", NOW, lambda line: None)
    assert held(place.store) == {key: rows for key, rows in rest.items() if rows}
    gone = sum(len(rows) for rows in before.values()) - sum(len(rows) for rows in rest.values())
    assert sum(done.removed.values()) == gone
    assert done.searched_rows == sum(len(rows) for rows in rest.values())
