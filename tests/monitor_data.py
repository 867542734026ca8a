"""Live traffic for tests of the monitor: resampled from a release's own reference, so that nothing drifts by itself."""

import io
from datetime import UTC, datetime, timedelta

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ml.bundle.bundle import key_of
from ml.feedback._incoming import from_request
from ml.feedback.labels import add_labels
from ml.predictions import log_schema, partition
from ml.problem import Problem
from ml.store import Store

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
THRESHOLD = 0.5


def watchful(problem: Problem, **monitoring: object) -> Problem:
    """The problem with limits that a few hundred rows can reach; further ones as `section={…}`."""
    limits = problem.monitoring.model_dump()
    limits["drift"]["minimum_rows"] = 50
    limits["performance"]["minimum_rows"] = 50
    limits["performance"]["minimum_class_rows"] = 20
    limits["fairness"]["minimum_group_rows"] = 30
    limits["fairness"]["minimum_group_cases"] = 30
    for section, values in monitoring.items():
        limits[section] = limits[section] | values if isinstance(values, dict) else values
    return Problem.model_validate(problem.model_dump() | {"monitoring": limits})


def reference_of(store: Store, release: str) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(store.read(f"{key_of(release)}/reference.parquet")))


def resampled(store: Store, release: str, rows: int, seed: int = 1, where: pl.Expr | None = None) -> pl.DataFrame:
    reference = reference_of(store, release)
    return (reference if where is None else reference.filter(where)).sample(rows, with_replacement=True, seed=seed)


def log_predictions(
    store: Store, problem: Problem, release: str, frame: pl.DataFrame, *, name: str = "r", role: str = "champion",
    ends: datetime = NOW, lasts: timedelta = timedelta(hours=10),
) -> list[str]:  # fmt: skip
    """Log the rows of `frame` (features and score), evenly until `ends`; their prediction ids."""
    rows, positive = frame.height, frame["score"] >= THRESHOLD
    other = next(code for code in problem.target.codes if code != problem.target.positive)
    ids = [f"{name}-{row}" for row in range(rows)]
    table = pa.table(
        {
            "prediction_id": ids,
            "subject": [None] * rows,
            "at": [ends - lasts * ((rows - row) / rows) for row in range(rows)],
            "release": [release] * rows,
            "role": [role] * rows,
            **{feature: frame[feature].to_arrow().cast(pa.int32()) for feature in problem.feature_names},
            "score": frame["score"].to_arrow(),
            "decision": [problem.target.positive if held else other for held in positive],
            "threshold": [THRESHOLD] * rows,
            "reasons": [None] * rows,
        },
        schema=log_schema(problem),
    )
    days = [at.date() for at in table["at"].to_pylist()]
    for day in sorted(set(days)):
        buffer = io.BytesIO()
        pq.write_table(table.filter(pa.array([d == day for d in days])), buffer)
        store.write(f"{partition(day, release)}/{name}.parquet", buffer.getvalue())
    return ids


def deliver(store: Store, problem: Problem, ids: list[str], labels: list[int], at: datetime = NOW) -> None:
    rows = ",".join(f'{{"prediction_id": "{i}", "label": {label}}}' for i, label in zip(ids, labels, strict=True))
    report = add_labels(store, problem, from_request(f'{{"labels": [{rows}]}}'.encode()), "api", "test", at)
    assert report.accepted == len(ids)
