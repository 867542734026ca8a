"""Several worker processes behind one listening socket: uvicorn's supervisor, that gives up on what can't live."""

import logging
import math
import multiprocessing
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from ml.errors import InputRefused, MlopsError

__all__ = ["METRICS_VARIABLE", "Supervisor", "end_with_parent", "supervise", "workers_of"]

METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
DEATHS: Final = 5  # of each worker, on average
WITHIN_S: Final = 60.0
POLL_S: Final = 0.1
CGROUP_2: Final = Path("/sys/fs/cgroup/cpu.max")
CGROUP_1: Final = Path("/sys/fs/cgroup/cpu")

log = logging.getLogger(__name__)


def workers_of(stated: str) -> int:
    """How many workers `--workers` means; `auto` is one for each whole processor that this process may use.

    In a container that is what its limit allows, not what the machine has. InputRefused for what is no number.
    """
    if stated == "auto":
        return max(1, math.floor(min(len(os.sched_getaffinity(0)), _limit())))
    if not stated.isdecimal() or not 1 <= int(stated) <= 64:
        raise InputRefused(f"--workers is {stated!r}: it must be auto, or a number from 1 to 64.")
    return int(stated)


class Supervisor(Multiprocess):
    """Starts workers again that died or hang, until they die too often; then `has_failed`."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.has_failed = False
        self._deaths: list[float] = []

    def keep_subprocess_alive(self) -> None:
        """Start again what died or hangs. uvicorn's own waits for the answer of one that dies while it is asked."""
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set() or self._lives(process):
                continue
            process.kill()
            process.join()
            log.error("Worker %s died with %s", process.pid, process.exitcode)
            now = time.monotonic()
            self._deaths = [at for at in [*self._deaths, now] if now - at < WITHIN_S]
            if process.exitcode == STARTUP_FAILURE or len(self._deaths) > DEATHS * self.processes_num:
                self.has_failed = True
                self.should_exit.set()
                return
            self.processes[place] = Process(self.config, self.sockets)
            self.processes[place].start()

    def _lives(self, process: Process) -> bool:
        """Whether a worker answers; one that does not in time hangs. A signal is not kept waiting."""
        deadline = time.monotonic() + self.config.timeout_worker_healthcheck
        try:
            process.parent_conn.send(b"ping")
            while process.process.is_alive() and time.monotonic() < deadline:
                if self.signal_queue:
                    return True
                if process.parent_conn.poll(POLL_S):
                    process.parent_conn.recv()
                    return True
        except (OSError, EOFError):
            return False
        return False

    def terminate_all(self) -> None:
        """Take no more connections, and let the workers finish what they have."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def supervise(config: uvicorn.Config, listener: socket.socket, folder: Path) -> None:
    """Run workers until SIGTERM or SIGINT; MlopsError when they can't start or die again and again."""
    (folder / "metrics").mkdir()
    os.environ[METRICS_VARIABLE] = str(folder / "metrics")
    supervisor = Supervisor(config, [listener])
    supervisor.run()
    if supervisor.has_failed:
        raise MlopsError(
            "The workers can't start, or die again and again. What is above in this log says why; "
            "`--workers 1` shows it alone."
        )


def end_with_parent() -> None:
    """End this worker when the supervisor is gone, even killed: nobody would start it again, or end it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _limit() -> float:
    """The processors that the container's limit allows, infinity where there is none."""
    try:
        quota, period = CGROUP_2.read_text().split()
    except (OSError, ValueError):
        try:
            quota = (CGROUP_1 / "cpu.cfs_quota_us").read_text().strip()
            period = (CGROUP_1 / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return math.inf
    return math.inf if quota in ("max", "-1") else int(quota) / int(period)
