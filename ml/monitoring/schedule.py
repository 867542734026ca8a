"""Monitoring runs on a schedule, each in a process of its own: its memory and its faults are not the monitor's."""

import asyncio
import contextlib
import logging
import sys
import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from ml.monitoring.latest import Latest, read_latest
from ml.store import Store

__all__ = ["Schedule"]

TIMEOUT_S: Final = 1800.0

log = logging.getLogger(__name__)


class Schedule:
    """Starts a run every `every_s` seconds, and keeps the newest report, whoever made it.

    `latest` is None before the first; `failure` says why the last run failed, None when it did not.
    """

    def __init__(self, store: Store, every_s: float, refresh_s: float) -> None:
        self.latest: Latest | None = None
        self.failure: str | None = None
        self._store = store
        self._every_s = every_s
        self._refresh_s = refresh_s
        self._registry = CollectorRegistry()
        self._runs = Counter("mlops_monitoring_runs", "Runs by result.", ["result"], registry=self._registry)
        self._success = Gauge(
            "mlops_monitoring_last_success_timestamp_seconds", "When a run last ended well.", registry=self._registry
        )
        self._success.set_to_current_time()  # the rule that a run is overdue counts from the start
        Gauge("mlops_monitoring_interval_seconds", "From run to run.", registry=self._registry).set(every_s)

    async def keep(self) -> None:
        """Run and refresh until cancelled; a run under way is ended then."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_for_ever())
            tasks.create_task(self._refresh_for_ever())

    def metrics(self) -> bytes:
        """The schedule's own figures and the newest report's."""
        return generate_latest(self._registry) + (self.latest.metrics if self.latest else b"")

    async def _run_for_ever(self) -> None:
        while True:
            started = time.monotonic()
            self.failure = await self._run()
            self._runs.labels("failed" if self.failure else "ok").inc()
            if self.failure:
                log.error("The monitoring run failed: %s", self.failure)
            else:
                self._success.set_to_current_time()
            await asyncio.sleep(max(0.0, self._every_s - (time.monotonic() - started)))

    async def _run(self) -> str | None:
        command = [sys.executable, "-m", "ml", "monitor", "run", "--store", self._store.uri, "--json"]
        quiet = asyncio.subprocess.DEVNULL
        try:
            run = await asyncio.create_subprocess_exec(
                *command, stdin=quiet, stdout=quiet, stderr=asyncio.subprocess.PIPE
            )
        except OSError as error:
            return f"it can't be started: {error.strerror}"
        try:
            async with asyncio.timeout(TIMEOUT_S):
                _, said = await run.communicate()
            lines = said.decode(errors="replace").strip().splitlines()
            return None if run.returncode == 0 else lines[-1][:500] if lines else f"it ended with {run.returncode}"
        except TimeoutError:
            return f"it took longer than {TIMEOUT_S:g} s"
        finally:
            if run.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    run.kill()
                await run.wait()

    async def _refresh_for_ever(self) -> None:
        while True:
            try:
                self.latest = await asyncio.to_thread(read_latest, self._store, self.latest)
            except Exception as error:  # whatever a store's client raises: the probes and the next try go on
                log.error("The newest monitoring report can't be read: %s", error)
            await asyncio.sleep(self._refresh_s)
