"""How long an environment keeps what it logs: whole days are deleted once they are older than that."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from ml.errors import InputRefused
from ml.feedback._tables import day_of
from ml.feedback.labels import LABELS
from ml.feedback.queue import CASES, DECISIONS
from ml.predictions import PREFIX as PREDICTIONS
from ml.store import Store

__all__ = ["first_kept_day", "retain"]

PARTITIONED: Final = (PREDICTIONS, LABELS, CASES, DECISIONS)


def first_kept_day(now: datetime, days: int) -> date:
    """The oldest day that is kept; today is day 0. InputRefused for fewer than 1."""
    if days < 1:
        raise InputRefused(f"{days} days would delete what was logged today; keep at least 1.")
    return (now - timedelta(days=days)).date()


def retain(store: Store, first_kept: date, *, dry_run: bool = False) -> dict[str, int]:
    """Delete every object of a day before `first_kept`; how many, by area. Safe to repeat after a kill.

    With `dry_run` they are only counted.
    """
    deleted: Counter[str] = Counter()
    long_ago = datetime.combine(first_kept, time(), UTC)
    for area in PARTITIONED:
        if not dry_run:
            store.delete_unfinished(area, long_ago)
        for key in list(store.list(area)):
            day = day_of(key)
            if day is not None and day < first_kept:
                deleted[area] += 1
                if not dry_run:
                    store.delete(key)
    return {area: deleted[area] for area in PARTITIONED}
