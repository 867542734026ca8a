"""Parquet tables in the store, one object a batch, partitioned by day."""

import io
from collections.abc import Iterator
from datetime import date

import polars as pl

from ml.store import Store

__all__ = ["day_of", "keys_since", "parquet", "read_all", "read_table"]


def parquet(table: pl.DataFrame) -> bytes:
    """The table as one parquet file."""
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def read_table(store: Store, key: str) -> pl.DataFrame:
    """One object's rows."""
    return pl.read_parquet(store.read(key), hive_partitioning=False)


def day_of(key: str) -> date | None:
    """The day in a key's `day=YYYY-MM-DD`, None where it has none."""
    for part in key.split("/"):
        if part.startswith("day="):
            try:
                return date.fromisoformat(part.removeprefix("day="))
            except ValueError:
                return None
    return None


def keys_since(store: Store, prefix: str, since: date | None = None) -> Iterator[str]:
    """The parquet objects directly in the days of `prefix` from `since` on."""
    for key in store.list(prefix):
        day = day_of(key)
        if key.endswith(".parquet") and key.startswith(f"{prefix}/day=") and day and (since is None or day >= since):
            yield key


def read_all(store: Store, prefix: str, schema: pl.Schema, since: date | None = None) -> pl.DataFrame:
    """The rows of all those objects, in no order, each with its object's key as `batch`; empty when there are none.

    What an object of an earlier version has no column for is null.
    """
    tables = [_as(read_table(store, key), schema, key) for key in keys_since(store, prefix, since)]
    return pl.concat([_as(schema.to_frame(), schema, ""), *tables])


def _as(table: pl.DataFrame, schema: pl.Schema, key: str) -> pl.DataFrame:
    columns = [pl.col(name) if name in table.columns else pl.lit(None).alias(name) for name in schema.names()]
    return table.select(columns).cast(schema).with_columns(pl.lit(key).alias("batch"))
