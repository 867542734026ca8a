"""One erasure at a time: two that rewrite one object at once would bring back what the other took out."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Final

from pydantic import AwareDatetime, BaseModel

from ml.erasures import read_mark
from ml.errors import MlopsError
from ml.store import Store

__all__ = ["LOCK", "alone", "holder"]

LOCK: Final = "privacy/erasing.json"
LASTS: Final = timedelta(hours=6)


class _Lock(BaseModel):
    erasure: str  # its key
    at: AwareDatetime


@contextmanager
def alone(store: Store, erasure: str, now: datetime) -> Generator[None]:
    """Hold the store for the erasure at that key; MlopsError while another has it.

    The same erasure may have it twice, for both write the same: so does the one that completes what a kill cut short.
    """
    lock = _Lock(erasure=erasure, at=now).model_dump_json().encode()
    try:
        store.create(LOCK, lock)
    except FileExistsError:
        with suppress(FileNotFoundError):
            held = _Lock.model_validate_json(store.read(LOCK))
            mark = read_mark(store, held.erasure)
            is_over = mark is None or mark.is_done or now - held.at >= LASTS
            if held.erasure != erasure and not is_over:
                raise MlopsError(
                    f"Another erasure began at {held.at:%Y-%m-%d %H:%M} UTC and has not ended. Wait for it. If it was "
                    "cut short, complete it: run `mlops retention`, or `mlops erase` for the same person again."
                ) from None
        store.write(LOCK, lock)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            if store.read(LOCK) == lock:
                store.delete(LOCK)


def holder(store: Store) -> str | None:
    """The key of the erasure that holds the store, or held it when it was killed."""
    with suppress(FileNotFoundError):
        return _Lock.model_validate_json(store.read(LOCK)).erasure
    return None
