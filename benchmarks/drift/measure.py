"""One timed run in a process of its own: pinned to one core, with the memory it needed on top of its tables.

Standard library only: the other tools' environments import it too.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LIBRARIES = ("POLARS_MAX", "OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMBA_NUM")


def pin(core: int) -> None:
    """Keep this process on one core; libraries started after it see one thread."""
    os.environ.update({f"{library}_THREADS": "1" for library in LIBRARIES})
    os.sched_setaffinity(0, {core})


def timed(work: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """What `work` returns, its `seconds`, `peak_mb` of resident memory and the `extra_mb` over what was there."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # sets the peak back to what is resident now
    before_kb = _status_kb("VmRSS")
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    peak_kb = _status_kb("VmHWM")
    return result, {"seconds": seconds, "peak_mb": peak_kb / 1024, "extra_mb": max(0, peak_kb - before_kb) / 1024}


def report(measured: dict[str, object], packages: list[str]) -> None:
    """Print the run as one line of JSON, with the versions of `packages`."""
    versions = {package: version(package) for package in packages} | {"python": sys.version.split()[0]}
    print(json.dumps(measured | {"versions": versions}))


def _status_kb(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}: this benchmark needs Linux")
