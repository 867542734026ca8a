"""One retraining at a time, whoever starts how many: numbered runs in the store, each with a lease and a result.

    retraining/runs/000001/lease.json    who holds it and until when; renewed while the run lives
    retraining/runs/000001/result.json   how it ended; not there while it is under way

The next run is begun by creating its lease: of many who try, one succeeds. It may be begun when the last run has a
result, or when that run's lease has expired, because its holder died. Whoever lost its lease that way must not finish.
"""

import logging
import os
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue

from ml.errors import MlopsError
from ml.store import Store

__all__ = ["LEASE_S", "RUNS", "Busy", "LeaseLost", "Outcome", "Result", "Run", "begin", "last_training"]

RUNS: Final = "retraining/runs"
LEASE_S: Final = 60.0

log = logging.getLogger(__name__)

Outcome = Literal["candidate", "refused", "failed", "not-due"]


class Busy(MlopsError):
    """Another run is under way."""


class LeaseLost(MlopsError):
    """This run was held to be dead, and another took its place."""


class _Lease(BaseModel):
    holder: str
    began_at: AwareDatetime
    expires_at: AwareDatetime


class Result(BaseModel):
    """How a run ended: in a release candidate, in one that was refused, in a failure, or before it began to train.

    `details` say what and why.
    """

    model_config = ConfigDict(frozen=True)

    outcome: Outcome
    at: AwareDatetime
    release: str | None = None
    details: dict[str, JsonValue] = {}


@dataclass
class Run:
    """A run that this process holds."""

    store: Store
    number: int
    lease_s: float

    def require_held(self) -> None:
        """LeaseLost when another process has begun the next run: to be asked before anything lasting is done."""
        if self.store.exists(f"{RUNS}/{self.number + 1:06d}"):
            raise LeaseLost(
                f"Retraining run {self.number} was away for more than {self.lease_s:.0f} s, and run {self.number + 1} "
                "took its place. It released nothing; see that one."
            )

    def finish(self, result: Result) -> None:
        """Record how it ended, which lets the next run begin."""
        self.require_held()
        self.store.create(f"{RUNS}/{self.number:06d}/result.json", result.model_dump_json().encode())

    def renew(self, began_at: datetime) -> None:
        """Hold it for another `lease_s`."""
        now = datetime.now(UTC)
        lease = _Lease(holder=_holder(), began_at=began_at, expires_at=now + timedelta(seconds=self.lease_s))
        self.store.write(_lease_key(self.number), lease.model_dump_json().encode())


@contextmanager
def begin(store: Store, lease_s: float = LEASE_S) -> Generator[Run]:
    """Begin the next run and keep its lease; Busy when one is under way. An exception ends it as failed."""
    began_at = datetime.now(UTC)
    run = Run(store, _claimed(store, began_at, lease_s), lease_s)
    stop = threading.Event()

    def keep() -> None:
        while not stop.wait(lease_s / 4):
            try:
                run.renew(began_at)
            except Exception as error:  # a store that is away for a moment; each cloud's library has its own errors
                log.warning("The lease of retraining run %d was not renewed: %s", run.number, error)

    keeper = threading.Thread(target=keep, name="retraining-lease", daemon=True)
    keeper.start()
    try:
        yield run
    except LeaseLost:
        raise
    except Exception as error:
        if _result(store, run.number) is None:
            run.finish(Result(outcome="failed", at=datetime.now(UTC), details={"error": str(error)}))
        raise
    finally:
        stop.set()
        keeper.join()


def last_training(store: Store) -> Result | None:
    """The result of the newest run that trained a challenger, whether it was refused or not."""
    results = (_result(store, number) for number in reversed(_numbers(store)))
    return next((result for result in results if result and result.outcome in ("candidate", "refused")), None)


def _result(store: Store, number: int) -> Result | None:
    try:
        return Result.model_validate_json(store.read(f"{RUNS}/{number:06d}/result.json"))
    except FileNotFoundError:
        return None


def _claimed(store: Store, now: datetime, lease_s: float) -> int:
    numbers = _numbers(store)
    last = numbers[-1] if numbers else 0
    if last and _result(store, last) is None:
        lease = _Lease.model_validate_json(store.read(_lease_key(last)))
        if lease.expires_at > now:
            since = f"{lease.began_at:%Y-%m-%d %H:%M:%S} UTC"
            raise Busy(f"Retraining run {last} is under way: {lease.holder} began it at {since}.")
    lease = _Lease(holder=_holder(), began_at=now, expires_at=now + timedelta(seconds=lease_s))
    try:
        store.create(_lease_key(last + 1), lease.model_dump_json().encode())
    except FileExistsError as error:
        raise Busy(f"Another process began retraining run {last + 1} just now.") from error
    return last + 1


def _numbers(store: Store) -> list[int]:
    names = {key.removeprefix(f"{RUNS}/").split("/")[0] for key in store.list(RUNS)}
    return sorted(int(name) for name in names if name.isdigit())


def _lease_key(number: int) -> str:
    return f"{RUNS}/{number:06d}/lease.json"


def _holder() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
