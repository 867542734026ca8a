"""What an inference table holds becomes the prediction log, once: on a real local Spark (tests/lakehouse.py)."""

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from ml.arrow import in_memory
from ml.bundle.bundle import read_manifest
from ml.errors import MlopsError
from ml.governance.privacy import erase
from ml.monitoring.run import monitor_once
from ml.platforms.databricks.inference_table import BROUGHT, bring
from ml.predictions import read_log
from ml.problem import Problem
from ml.store import Store
from ml.subjects import pseudonym
from ml.trust.keys import TrustedKeys, signer
from ml.trust.ledger import Ledger
from tests import lakehouse
from tests.monitor_data import NOW, resampled, watchful
from tests.spark import local_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TABLE = "mlops_dev.ml.predictions_payload"
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SparkSession"]:
    # A session's own time zone must not move a row to another hour or day; India's is half an hour off.
    with local_spark(tmp_path_factory.mktemp("spark"), **{"spark.sql.session.timeZone": "Asia/Kolkata"}) as made:
        yield made


@pytest.fixture
def problem(small_problem: Problem) -> Problem:
    return watchful(small_problem)


class Endpoint:
    """Serves releases, and has its table brought into the log."""

    def __init__(self, folder: Path, spark: "SparkSession", store: Store, problem: Problem) -> None:
        self.folder, self.spark, self.store, self.problem = folder, spark, store, problem

    def serves(self, role: str, release: str, since: datetime = NOW - 12 * HOUR) -> str:
        """The entity's id."""
        model = f"mlops_dev.ml.release_{release.removeprefix('sha256:')}"
        row = lakehouse.entity(f"entity-{role}-{release[-4:]}", role, model, since)
        lakehouse.append(self.folder, lakehouse.SERVED_ENTITIES, [row], lakehouse.ENTITIES)
        return row["served_entity_id"]

    def answered(self, *rows: Any) -> None:
        lakehouse.append(self.folder, TABLE, list(rows), lakehouse.INFERENCE)

    def asked(self, entity: str, frame: pl.DataFrame, ends: datetime = NOW, lasts: timedelta = 2 * HOUR) -> None:
        """A request a row of `frame` (features and score), evenly until `ends`."""
        features, n = frame.select(self.problem.feature_names).to_dicts(), frame.height
        times = (ends - lasts * ((n - row) / n) for row in range(n))
        self.answered(
            *(
                lakehouse.payload(at, entity, [row], [score], client_request_id=f"r-{number}")
                for number, (at, row, score) in enumerate(zip(times, features, frame["score"], strict=True))
            )
        )

    def bring(self, first: date | None = None) -> list[str]:
        said: list[str] = []
        bring(self.spark, TABLE, self.store, self.problem, first, said.append)
        return said

    @property
    def log(self) -> pl.DataFrame:
        return pl.DataFrame(read_log(self.store, self.problem, NOW - timedelta(days=40), NOW + HOUR))


@pytest.fixture
def endpoint(
    tmp_path: Path, spark: "SparkSession", store: Store, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> Endpoint:
    lakehouse.install(tmp_path / "tables", monkeypatch.setattr)
    return Endpoint(tmp_path / "tables", spark, store, problem)


def objects(store: Store) -> dict[str, bytes]:
    return {key: store.read(key) for key in store.list("predictions")}


def row_of(endpoint: Endpoint, release: str) -> dict[str, Any]:
    return resampled(endpoint.store, release, 1).select(endpoint.problem.feature_names).to_dicts()[0]


def test_without_a_table_there_is_nothing_to_bring(endpoint: Endpoint) -> None:
    assert endpoint.bring() == [f"There is no inference table {TABLE} yet: nothing to bring."]
    assert not list(endpoint.store.list("predictions"))


def test_live_traffic_of_model_serving_is_seen_to_drift(endpoint: Endpoint, published: str) -> None:
    frame = resampled(endpoint.store, published, 300)
    endpoint.asked(endpoint.serves("champion", published), frame.with_columns(AGEP=frame["AGEP"].clip(80, 95)))
    endpoint.bring()
    report = monitor_once(endpoint.store, endpoint.problem, NOW)
    assert report is not None
    assert (report.champion.release, report.champion.rows) == (published, 300)
    assert report.champion.drift.alert
    assert report.champion.drift.features["AGEP"].alert


def test_rows_are_those_that_the_model_server_logs(
    endpoint: Endpoint, published: str, publish_version: Callable[[str], str]
) -> None:
    other = publish_version("2")
    champion, challenger = endpoint.serves("champion", published), endpoint.serves("challenger", other)
    rows = resampled(endpoint.store, published, 3).select(endpoint.problem.feature_names).to_dicts()
    at = NOW - timedelta(hours=14, minutes=1)  # the evening before, whatever day that is in Kolkata
    split = {"columns": list(rows[0]), "data": [[float(value) for value in rows[0].values()]]}
    endpoint.answered(
        lakehouse.payload(at, champion, rows, [0.2, 0.5, 0.9], client_request_id="mine"),
        lakehouse.payload(
            at, challenger, [], [0.8], request=json.dumps({"dataframe_split": split, "params": {}}),
            databricks_request_id="theirs",
        ),
    )  # fmt: skip
    endpoint.bring()
    log = endpoint.log.sort("prediction_id")
    assert log["prediction_id"].to_list() == ["mine-0", "mine-1", "mine-2", "theirs"]
    assert log["release"].to_list() == [*[published] * 3, other]
    assert log["role"].to_list() == [*["champion"] * 3, "challenger"]
    assert log["score"].to_list() == [0.2, 0.5, 0.9, 0.8]
    threshold = read_manifest(endpoint.store, published).decision_threshold
    positive = endpoint.problem.target.positive
    assert [code == positive for code in log["decision"][:3]] == [score >= threshold for score in (0.2, 0.5, 0.9)]
    assert log["at"].to_list() == [at] * 4
    assert log.select(endpoint.problem.feature_names).to_dicts() == [*rows, rows[0]]
    assert {key.split("/")[1] for key in objects(endpoint.store)} == {f"day={at.date()}"}
    for key in objects(endpoint.store):
        assert pq.read_schema(in_memory(endpoint.store.read(key))).names == endpoint.log.columns


def test_again_changes_nothing_and_late_rows_come_in_once(endpoint: Endpoint, published: str) -> None:
    entity = endpoint.serves("champion", published)
    frame = resampled(endpoint.store, published, 60)
    endpoint.asked(entity, frame)
    endpoint.bring()
    before = objects(endpoint.store)
    assert endpoint.bring() == [f"The inference table {TABLE} holds nothing new."]
    late = lakehouse.payload(NOW - 2 * HOUR, entity, [row_of(endpoint, published)], [0.5], client_request_id="late")
    endpoint.answered(late)
    endpoint.answered(late)  # Databricks delivers at least once
    (said,) = endpoint.bring()
    assert "1 rows were delivered again" in said
    after = objects(endpoint.store)
    assert after.keys() == before.keys()
    assert sum(after[key] != before[key] for key in before) == 1
    assert endpoint.log["prediction_id"].to_list().count("late") == 1
    assert endpoint.log["prediction_id"].n_unique() == endpoint.log.height == 61


@pytest.mark.parametrize("writes", range(3))  # an object an hour, then what is known of both
def test_a_crash_between_any_two_writes_neither_loses_nor_doubles_a_row(
    endpoint: Endpoint, published: str, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    endpoint.asked(endpoint.serves("champion", published), resampled(endpoint.store, published, 40))
    left = iter(range(writes))
    write = Store.write

    def until_killed(store: Store, key: str, data: bytes) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(store, key, data)

    with monkeypatch.context() as broken:
        broken.setattr(Store, "write", until_killed)
        with pytest.raises(KeyboardInterrupt):
            endpoint.bring()
    endpoint.bring()
    assert sorted(endpoint.log["prediction_id"]) == sorted(f"r-{number}" for number in range(40))


def test_what_can_not_be_read_is_counted_and_said_without_its_values(endpoint: Endpoint, published: str) -> None:
    entity, row = endpoint.serves("champion", published), row_of(endpoint, published)
    at = NOW - HOUR

    def payload(name: str, rows: list[dict[str, Any]] | None = None, **other: Any) -> Any:
        given = [row] if rows is None else rows
        return lakehouse.payload(at, entity, given, [0.5] * len(given), databricks_request_id=name, **other)

    endpoint.answered(
        payload("fine"),
        payload("refused", status_code=400),
        payload("refused-too", status_code=400),
        payload("large", request=None, logging_error_codes=["MAX_REQUEST_SIZE_EXCEEDED"]),
        payload("torn", request='{"dataframe_records": [{'),
        payload("outside", [row | {"AGEP": 112}]),
        payload("text", [row | {"AGEP": "Jane Roe, 112"}]),
        payload("short", response='{"predictions": []}'),
        payload("no-probability", response='{"predictions": [[0, 7]]}'),
    )
    said = endpoint.bring()
    assert said[0].endswith("9 rows of the inference table, 1 predictions logged")
    aside = json.loads(endpoint.store.read(BROUGHT))[str(int(at.timestamp()) // 3600)]["aside"]
    assert {reason: found["first"] for reason, found in aside.items()} == {
        "answered with status 400": ["refused", "refused-too"],
        "Databricks kept no request or no answer: MAX_REQUEST_SIZE_EXCEEDED": ["large"],
        "the request holds no rows that fit the release's columns": ["torn"],
        "the column AGEP of a row is not what the problem definition allows": ["outside", "text"],
        "the answer doesn't hold one probability of each class for every row": ["no-probability", "short"],
    }
    assert len(said) == 1 + len(aside)
    assert "Roe" not in "".join(said) + json.dumps(aside)
    assert endpoint.bring() == [f"The inference table {TABLE} holds nothing new."]


def test_rows_wait_until_it_is_known_what_answered_them(
    endpoint: Endpoint, published: str, publish_version: Callable[[str], str]
) -> None:
    endpoint.serves("champion", published)
    row = row_of(endpoint, published)
    endpoint.answered(lakehouse.payload(NOW - HOUR, "entity-new", [row], [0.5], databricks_request_id="first"))
    said = endpoint.bring()
    assert f"1 requests set aside: {lakehouse.SERVED_ENTITIES} knows no release that answered (first)" in said[1]
    new = publish_version("2")
    model = f"mlops_dev.ml.release_{new.removeprefix('sha256:')}"
    known = lakehouse.entity("entity-new", "champion", model, NOW - 2 * HOUR)
    lakehouse.append(endpoint.folder, lakehouse.SERVED_ENTITIES, [known], lakehouse.ENTITIES)
    endpoint.bring()
    assert endpoint.log["release"].to_list() == [new]


def test_an_entity_that_is_given_another_release_is_known_by_the_time(
    endpoint: Endpoint, published: str, publish_version: Callable[[str], str]
) -> None:
    new, row = publish_version("2"), row_of(endpoint, published)
    for release, since in ((published, NOW - 9 * HOUR), (new, NOW - 3 * HOUR)):
        model = f"mlops_dev.ml.release_{release.removeprefix('sha256:')}"
        known = lakehouse.entity("entity", "champion", model, since)
        lakehouse.append(endpoint.folder, lakehouse.SERVED_ENTITIES, [known], lakehouse.ENTITIES)
    endpoint.answered(*(lakehouse.payload(NOW - hours * HOUR, "entity", [row], [0.5]) for hours in (5, 1)))
    endpoint.bring()
    assert endpoint.log["release"].to_list() == [published, new]


def test_who_may_not_ask_what_served_is_told_who_can_change_that(endpoint: Endpoint, published: str) -> None:
    endpoint.answered(lakehouse.payload(NOW, "entity", [row_of(endpoint, published)], [0.5]))
    with pytest.raises(MlopsError, match=r"system.serving.served_entities, .* can't be read: .*A metastore admin"):
        endpoint.bring()


def test_people_are_pseudonyms_and_who_was_erased_stays_erased(endpoint: Endpoint, published: str) -> None:
    entity, row = endpoint.serves("champion", published), row_of(endpoint, published)
    both = {"dataframe_records": [row, row], "subjects": ["customer-1", None]}
    asked = lakehouse.payload(NOW - HOUR, entity, [], [0.2, 0.7], request=json.dumps(both), client_request_id="both")
    endpoint.answered(asked)
    endpoint.bring()
    assert endpoint.log["subject"].to_list() == [pseudonym(endpoint.store, "customer-1"), None]
    assert b"customer-1" not in b"".join(objects(endpoint.store).values())
    me = signer(endpoint.store)
    ledger = Ledger(endpoint.store, "aws-databricks-dev", "dev", TrustedKeys.of(endpoint.store))
    erase(endpoint.store, ledger, me, "customer-1", NOW, lambda _: None)
    assert endpoint.log["prediction_id"].to_list() == ["both-1"]
    endpoint.answered(lakehouse.payload(NOW - HOUR, entity, [row], [0.5], client_request_id="later"))
    endpoint.bring()
    assert sorted(endpoint.log["prediction_id"]) == ["both-1", "later"]


def test_what_is_older_than_the_environment_keeps_is_not_brought_back(endpoint: Endpoint, published: str) -> None:
    entity, row = endpoint.serves("champion", published, NOW - timedelta(days=60)), row_of(endpoint, published)
    endpoint.answered(*(lakehouse.payload(NOW - timedelta(days=d), entity, [row], [0.5]) for d in (30, 31, 1)))
    endpoint.bring(first=(NOW - timedelta(days=30)).date())
    assert len(endpoint.log) == 2
    assert endpoint.log["at"].dt.date().min() == (NOW - timedelta(days=30)).date()
