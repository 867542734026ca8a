"""A training that was asked for: an object in the store, where a cloud that listens to new objects hears of it."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from ml.feedback.triggers import Verdict
from ml.store import Store

__all__ = ["REQUESTS", "ask", "last_asked_at"]

REQUESTS: Final = "retraining/requested"
WRITTEN: Final = "%Y-%m-%dT%H-%M-%S-%fZ"


def ask(store: Store, verdict: Verdict, now: datetime) -> str:
    """Ask for a training, for the verdict's reasons; where the request lies."""
    key = f"{REQUESTS}/{now:{WRITTEN}}.json"
    store.create(key, json.dumps(asdict(verdict), indent=2).encode())
    return store.url(key)


def last_asked_at(store: Store) -> datetime | None:
    """When a training was asked for the last time; None before the first."""
    names = [key.rpartition("/")[2].removesuffix(".json") for key in store.list(REQUESTS)]
    return datetime.strptime(max(names), WRITTEN).replace(tzinfo=UTC) if names else None
