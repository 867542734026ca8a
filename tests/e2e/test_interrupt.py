"""Ctrl-C during the first `make up`: what it started ends with it, and the next one works from where it is."""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from infra.clouds.local import _launch
from tests.e2e.test_make import Checkout


def test_an_interrupted_first_make_up_leaves_no_process_behind() -> None:
    with tempfile.TemporaryDirectory(prefix="mlops-e2e-") as folder:
        checkout = Checkout(Path(folder).resolve())
        log = Path(folder) / "log"
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
        try:
            deadline = time.monotonic() + 120
            while not _launch.marked(str(checkout.folder / ".mlops/local-dev/programs/tracking.json")):
                assert make.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            os.killpg(make.pid, signal.SIGINT)
            assert make.wait(timeout=120) != 0
            assert "ending what was started" in log.read_text()
            assert not checkout.processes(), log.read_text()
        finally:
            _launch.end(checkout.processes())
