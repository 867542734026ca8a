"""Unity Catalog's tables by their three names on a real local Spark: folders of parquet, for Delta's jars aren't here.

`SparkSession.table` and `Catalog.tableExists` are patched, in this process or, run by its path, in a job's task. Rows
are those of the AI gateway's inference table and of `system.serving.served_entities`, as Databricks documents them.
Not there: Delta, grants, Spark Connect, by which serverless compute speaks to its Spark.
"""

import json
import os
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["ENTITIES", "FOLDER", "INFERENCE", "SERVED_ENTITIES", "append", "entity", "install", "payload"]

FOLDER = "TESTS_LAKEHOUSE"  # the variable that names it in a task
SERVED_ENTITIES = "system.serving.served_entities"
AT = pa.timestamp("us", tz="UTC")
INFERENCE = pa.schema(
    [
        ("databricks_request_id", pa.string()),
        ("request_date", pa.date32()),
        ("client_request_id", pa.string()),
        ("request_time", AT),
        ("status_code", pa.int32()),
        ("sampling_fraction", pa.float64()),
        ("execution_duration_ms", pa.int64()),
        ("request", pa.string()),
        ("response", pa.string()),
        ("logging_error_codes", pa.list_(pa.string())),
        ("served_entity_id", pa.string()),
        ("requester", pa.string()),
    ]
)
ENTITIES = pa.schema(
    [
        *((name, pa.string()) for name in ("served_entity_id", "account_id", "workspace_id", "created_by")),
        *((name, pa.string()) for name in ("endpoint_name", "endpoint_id", "served_entity_name", "entity_type")),
        *((name, pa.string()) for name in ("entity_name", "entity_version")),
        ("endpoint_config_version", pa.int32()),
        ("change_time", AT),
        ("endpoint_delete_time", AT),
    ]
)


def payload(at: datetime, entity_id: str, rows: list[dict[str, Any]], scores: list[float], **other: Any) -> Any:
    """A request that was answered, as a row of the inference table."""
    return {
        "databricks_request_id": str(uuid.uuid4()),
        "request_date": at.date(),
        "request_time": at,
        "status_code": 200,
        "sampling_fraction": 1.0,
        "execution_duration_ms": 12,
        "request": json.dumps({"dataframe_records": rows}),
        "response": json.dumps({"predictions": [[1 - score, score] for score in scores]}),
        "logging_error_codes": [],
        "served_entity_id": entity_id,
        "requester": "serving",
    } | other


def entity(entity_id: str, role: str, model: str, since: datetime) -> Any:
    """An entity of an endpoint, as a row of the system's table."""
    return {
        "served_entity_id": entity_id,
        "endpoint_name": "endpoint",
        "served_entity_name": role,
        "entity_type": "CUSTOM_MODEL",
        "entity_name": model,
        "entity_version": "1",
        "endpoint_config_version": 1,
        "change_time": since - timedelta(minutes=5),
    }


def append(folder: Path, table: str, rows: list[Any], schema: pa.Schema) -> None:
    """Add rows to a table, that is made with its first."""
    place = folder / table.replace(".", "/")
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), place / f"{uuid.uuid4()}.parquet")


def install(folder: Path, patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """Have this process' Spark find its tables in `folder`."""
    from pyspark.sql import SparkSession
    from pyspark.sql.catalog import Catalog

    def place(name: str) -> Path:
        return folder / name.replace(".", "/")

    patch(SparkSession, "table", lambda spark, name: spark.read.parquet(str(place(name))))
    patch(Catalog, "tableExists", lambda _catalog, name: place(name).exists())


if __name__ == "__main__":
    install(Path(os.environ[FOLDER]))
