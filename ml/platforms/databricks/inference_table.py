"""Databricks' inference table into the prediction log: what Model Serving answered, as our own server logs it.

An hour of the table is one object of the log a release, made from all rows of that hour under a name that says which.
So it may be done again at any time: after a kill, and when rows come late, which the number of an hour's rows shows.
The table is the AI gateway's: https://docs.databricks.com/aws/en/ai-gateway/inference-tables-serving-endpoints.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast, get_args

import msgspec

from ml.errors import MlopsError, ReleaseRefused
from ml.monitoring.captured import Captured, CaptureReader, Unreadable
from ml.monitoring.latest import PREFIX
from ml.problem import Problem
from ml.serving.log.frames import Framer, Logged, Role
from ml.serving.log.store import rows_of, store_parts
from ml.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["BROUGHT", "ENTITIES", "Hour", "bring"]

BROUGHT: Final = f"{PREFIX}/inference-table.json"
ENTITIES: Final = "system.serving.served_entities"
RELEASE: Final = re.compile(r"\.release_([0-9a-f]{64})$")
HOUR_S: Final = 3600
ANSWERED: Final = 200
NAMED: Final = 5  # requests that are named of those set aside
COLUMNS: Final = (
    *("databricks_request_id", "client_request_id", "request_time", "status_code", "request", "response"),
    *("logging_error_codes", "served_entity_id"),
)


class Aside(msgspec.Struct):
    """Requests that are not in the log for one reason; the first of them by Databricks' own ids."""

    requests: int = 0
    first: list[str] = []


class Hour(msgspec.Struct):
    """What became of an hour's rows. One `is_open` is looked at again: what it lacks may still come."""

    rows: int
    predictions: int = 0
    repeated: int = 0
    is_open: bool = False
    aside: dict[str, Aside] = {}

    def put_aside(self, request_id: str, reason: str, *, for_now: bool = False) -> None:
        """Count a request that is not in the log."""
        found = self.aside.setdefault(reason, Aside())
        found.requests += 1
        if len(found.first) < NAMED:
            found.first.append(request_id)
        self.is_open |= for_now


class _Served(NamedTuple):
    """What an entity of the endpoint was from a moment on."""

    since: datetime
    role: Role
    release: str


def bring(
    spark: "SparkSession", table: str, store: Store, problem: Problem, first: date | None, say: Callable[[str], None]
) -> None:
    """Bring what is new in `table` since the day `first` into the log; MlopsError where nobody may say what served.

    What is set aside is said, and kept at `BROUGHT` in the store with its reason.
    """
    if not spark.catalog.tableExists(table):
        say(f"There is no inference table {table} yet: nothing to bring.")
        return
    counted, known = _counted(spark, table, first), _known(store)
    brought = {hour: known[hour] for hour in counted if hour in known}
    changed = [
        h for h, rows in counted.items() if (found := known.get(h)) is None or found.rows != rows or found.is_open
    ]
    if not changed:
        say(f"The inference table {table} holds nothing new.")
        return
    logging = _Logging(spark, table, store, problem)
    try:
        for hour in changed:
            brought[hour] = logging.bring(hour, counted[hour])
            for sentence in _told(hour, brought[hour]):
                say(sentence)
    finally:
        store.write(BROUGHT, msgspec.json.encode(brought))


class _Logging:
    """Brings hours; what served and how each release reads its requests is looked up once."""

    def __init__(self, spark: "SparkSession", table: str, store: Store, problem: Problem) -> None:
        self._spark, self._table, self._store = spark, table, store
        self._framer = Framer(store, problem)
        self._served = _served(spark, table.rpartition(".")[0])
        self._readers: dict[str, CaptureReader | None] = {}

    def bring(self, hour: int, rows: int) -> Hour:
        """Write the objects of an hour anew."""
        found, logged = Hour(rows), list[Logged]()
        for request_id, (row, *again) in groupby(_rows(self._spark, self._table, hour), _request_id):
            found.repeated += len(again)
            if (read := self._read(found, request_id, row)) is not None:
                logged.append(read)
        if logged:
            table = rows_of(self._framer.names, self._framer.frames(logged))
            store_parts(self._store, table, f"{hour * HOUR_S * 10**9:020d}-inference")
            found.predictions = table.num_rows
        return found

    def _read(self, hour: Hour, request_id: str, row: dict[str, Any]) -> Logged | None:
        if row["status_code"] != ANSWERED:
            return hour.put_aside(request_id, f"answered with status {row['status_code']}")
        if row["request"] is None or row["response"] is None:
            codes = ", ".join(row["logging_error_codes"] or []) or "no code"
            return hour.put_aside(request_id, f"Databricks kept no request or no answer: {codes}")
        at = row["request_time"].astimezone(UTC)
        entities = self._served.get(row["served_entity_id"], [])
        if not entities:
            return hour.put_aside(request_id, f"{ENTITIES} knows no release that answered", for_now=True)
        served = next((each for each in reversed(entities) if each.since <= at), entities[0])
        reader = self._reader(served.release)
        if reader is None:
            return hour.put_aside(request_id, f"the store lacks the release {served.release}", for_now=True)
        captured = Captured(row["client_request_id"] or request_id, at, row["request"], row["response"])
        try:
            return reader.read(captured, served.role)
        except Unreadable as unreadable:
            return hour.put_aside(request_id, str(unreadable))

    def _reader(self, release: str) -> CaptureReader | None:
        if release not in self._readers:
            try:
                self._readers[release] = CaptureReader(self._store, release)
            except ReleaseRefused:
                self._readers[release] = None
        return self._readers[release]


def _counted(spark: "SparkSession", table: str, first: date | None) -> dict[int, int]:
    """The number of rows of each hour since 1970 that has some, in order."""
    from pyspark.sql import functions as F  # noqa: N812 # its customary name

    since = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()) if first else 0
    frame = spark.table(table).where(F.col("request_time") >= F.timestamp_seconds(F.lit(since)))
    hour = F.floor(F.unix_seconds("request_time") / HOUR_S).alias("hour")
    return {row["hour"]: row["count"] for row in frame.groupBy(hour).count().orderBy("hour").collect()}


def _rows(spark: "SparkSession", table: str, hour: int) -> list[dict[str, Any]]:
    """An hour's rows, those of one request behind each other: Databricks may deliver one again."""
    from pyspark.sql import functions as F  # noqa: N812

    start, end = (F.timestamp_seconds(F.lit(number * HOUR_S)) for number in (hour, hour + 1))
    within = (F.col("request_time") >= start) & (F.col("request_time") < end)
    rows = spark.table(table).where(within).select(*COLUMNS).orderBy("request_time", "databricks_request_id")
    return rows.toArrow().to_pylist()


def _request_id(row: dict[str, Any]) -> str:
    return row["databricks_request_id"]


def _served(spark: "SparkSession", schema: str) -> dict[str, list[_Served]]:
    """What the schema's releases were served as, by the entity's id, in order of time."""
    from pyspark.errors import PySparkException
    from pyspark.sql import functions as F  # noqa: N812

    ours = F.col("entity_name").startswith(f"{schema}.release_")
    columns = ("served_entity_id", "served_entity_name", "entity_name", "change_time")
    try:
        rows = spark.table(ENTITIES).where(ours).select(*columns).orderBy("change_time").toArrow().to_pylist()
    except PySparkException as error:
        raise MlopsError(
            f"{ENTITIES}, which says what release gave an answer, can't be read: {error}. A metastore admin lets the "
            "monitor's service principal read it: docs/databricks.md says how."
        ) from error
    found: dict[str, list[_Served]] = {}
    for row in rows:
        release, role = RELEASE.search(row["entity_name"]), row["served_entity_name"]
        if release and role in get_args(Role):
            served = _Served(row["change_time"].astimezone(UTC), cast(Role, role), f"sha256:{release[1]}")
            found.setdefault(row["served_entity_id"], []).append(served)
    return found


def _known(store: Store) -> dict[int, Hour]:
    try:
        return msgspec.json.decode(store.read(BROUGHT), type=dict[int, Hour])
    except FileNotFoundError:
        return {}


def _told(hour: int, found: Hour) -> list[str]:
    when = f"{datetime.fromtimestamp(hour * HOUR_S, UTC):%Y-%m-%d %H}h UTC"
    repeated = f", {found.repeated:,} rows were delivered again" if found.repeated else ""
    return [
        f"{when}: {found.rows:,} rows of the inference table, {found.predictions:,} predictions logged{repeated}",
        *(
            f"{when}: {aside.requests:,} requests set aside: {reason} ({', '.join(aside.first)})"
            for reason, aside in found.aside.items()
        ),
    ]
