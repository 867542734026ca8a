"""Started by the supervisor by this file's path: end what an earlier start left behind, then become the program.

A program that was killed may leave children that hold its port (MLflow's server does). They are found by a mark in
their environment, which children inherit.
"""

import json
import os
import sys
from pathlib import Path

import psutil

MARK = "MLOPS_PROGRAM"


def marked(value: str, *, prefix: bool = False) -> list[psutil.Process]:
    """The other processes of this user whose mark is `value`, or starts with it."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(MARK, "")
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess, OSError):
            continue
        if (mark.startswith(value) if prefix else mark == value) and process.pid != os.getpid():
            found.append(process)
    return found


def end(processes: list[psutil.Process]) -> None:
    """Kill them and wait until they are gone."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=10)


def main() -> None:
    """Read the specification that is named on the command line and become its program."""
    file = sys.argv[1]
    specification = json.loads(Path(file).read_text(encoding="utf-8"))
    end(marked(file))
    os.chdir(specification["folder"])
    os.execvpe(  # noqa: S606 # the stack's own command, from a file that only this user can write
        specification["command"][0], specification["command"], os.environ | specification["environment"] | {MARK: file}
    )


if __name__ == "__main__":
    main()
