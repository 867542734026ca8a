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


def read_all(
    store: Store, prefix: str, schema: pl.Schema, since: date | None = None, *, without: str | None = None
) -> pl.DataFrame:
    """The rows of all those objects but `without`, in no order; empty when there are none."""
    keys = [key for key in keys_since(store, prefix, since) if key != without]
    tables = [read_table(store, key).select(schema.names()).cast(schema) for key in keys]
    return pl.concat([schema.to_frame(), *tables])
