"""Ctrl-C during `make up`: what it started ends with it, in whichever step, and the next one works from where it is."""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from infra.clouds.local import _launch
from tests.e2e.test_make import Checkout


def test_an_interrupted_make_up_leaves_no_process_behind() -> None:
    """The second one is interrupted in a library's call, where the first has left a stack without processes."""
    with tempfile.TemporaryDirectory(prefix="mlops-e2e-") as folder:
        checkout = Checkout(Path(folder).resolve())
        try:
            for step in ("observability-monitor creating", "validation log-loss"):
                output = interrupted_at(step, checkout)
                assert "ending what was started" in output, output
                assert not checkout.processes(), output
        finally:
            _launch.end(checkout.processes())


def interrupted_at(step: str, checkout: Checkout) -> str:
    log = checkout.folder.parent / "log"
    with log.open("w") as output:
        make = subprocess.Popen(
            ["make", "up"],
            cwd=checkout.folder,
            env=checkout.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + 180
    while step not in log.read_text():
        if make.poll() is not None or time.monotonic() > deadline:
            pytest.fail(log.read_text())
        time.sleep(0.1)
    assert checkout.processes()
    os.killpg(make.pid, signal.SIGINT)
    assert make.wait(timeout=120) != 0
    return log.read_text()
