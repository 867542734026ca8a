"""What a newcomer does, in a clean copy with an empty home: make up, Ctrl-C, a prediction, kills, make down."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from infra.clouds.local import _launch
from pipelines._sandbox import free_ports

ROOT = Path(__file__).parents[2]
STACK_FILE = "stacks/Pulumi.local-dev.yaml"
RECOVERY_TIMEOUT_S = 90
INTERRUPTED_WITHIN_S = 300


class Checkout:
    """A copy of what git would give, with a home of its own; only package and engine caches are shared."""

    def __init__(self, folder: Path) -> None:
        self.folder, home = folder / "checkout", folder / "home"
        home.mkdir()
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        for name in filter(None, subprocess.check_output(listed, cwd=ROOT, text=True).split("\0")):
            if (ROOT / name).exists():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "MLOPS_", "XDG_"))}
        self.environment = kept | {"HOME": str(home), "XDG_CACHE_HOME": str(cache)}
        self._unpin_and_choose_ports()

    def _unpin_and_choose_ports(self) -> None:
        file = self.folder / STACK_FILE
        content = yaml.safe_load(file.read_text())
        content["config"].pop("mlops:release", None)
        ports = dict(zip(("tracking", "endpoint", "monitor", "metrics"), free_ports(4), strict=True))
        content["config"]["mlops:local"] = {"ports": ports}
        content.pop("encryptionsalt", None)
        file.write_text(yaml.safe_dump(content))
        self.stack_file_before = file.read_text()
        self.endpoint = f"http://127.0.0.1:{ports['endpoint']}"
        self.tracking = f"http://127.0.0.1:{ports['tracking']}"

    def make(self, *words: str, timeout_s: float = 600) -> str:
        result = subprocess.run(
            ["make", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    def processes(self) -> list[psutil.Process]:
        return _launch.marked(str(self.folder / ".mlops"), prefix=True)

    def kept(self) -> set[int]:
        """The supervisor and the programs it keeps; the monitor's runs come and go as processes of their own."""
        supervisor = int((self.folder / ".mlops/local-dev/supervisord.pid").read_text())
        return {supervisor} | {child.pid for child in psutil.Process(supervisor).children()}

    def pinned(self) -> str | None:
        return yaml.safe_load((self.folder / STACK_FILE).read_text())["config"].get("mlops:release")

    def predict(self) -> dict[str, object]:
        row = yaml.safe_load((self.folder / "ml" / "problem.yaml").read_text())["features"]
        values = {f["name"]: f["minimum"] + 20 if f["kind"] == "numeric" else min(f["codes"]) for f in row}
        values["SCHL"] = 16
        request = urllib.request.Request(
            f"{self.endpoint}/predict", json.dumps(values).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


@pytest.fixture(scope="module")
def checkout() -> Iterator[Checkout]:
    with tempfile.TemporaryDirectory(prefix="mlops-e2e-") as folder:
        checkout = Checkout(Path(folder).resolve())
        try:
            yield checkout
        finally:
            _launch.end(checkout.processes())


@pytest.fixture(scope="module")
def interrupted(checkout: Checkout) -> list[str]:
    """What a first and a second `make up` said, each of which was interrupted: in the engine, and in training."""
    return [interrupt(checkout, step) for step in ("observability-monitor creating", "validation log-loss")]


def interrupt(checkout: Checkout, step: str) -> str:
    """Press Ctrl-C where `make up` says `step`."""
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
    deadline = time.monotonic() + INTERRUPTED_WITHIN_S
    while step not in log.read_text():
        assert make.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    assert checkout.processes()
    os.killpg(make.pid, signal.SIGINT)
    assert make.wait(timeout=120) != 0
    assert not checkout.processes(), log.read_text()
    return log.read_text()


@pytest.fixture(scope="module")
def first_up(checkout: Checkout, interrupted: list[str]) -> str:
    return checkout.make("up")


def test_an_interrupted_make_up_leaves_no_process_behind(interrupted: list[str]) -> None:
    """The second finds a stack that the first has left, without processes; the third is all the other tests'."""
    for output in interrupted:
        assert "ending what was started" in output, output


def test_make_up_ends_with_a_gated_release_and_a_real_prediction(checkout: Checkout, first_up: str) -> None:
    assert re.search(r"From the start to the first prediction: \d+ s", first_up)
    assert re.search(r"gates +\d+ passed", first_up)
    assert checkout.pinned()
    assert checkout.predict()["release"] == checkout.pinned()


@pytest.mark.usefixtures("first_up")
def test_a_second_make_up_changes_nothing(checkout: Checkout) -> None:
    before, kept = checkout.pinned(), checkout.kept()
    started = time.monotonic()
    output = checkout.make("up")
    assert re.search(r"\d+ unchanged", output)
    assert "created" not in output
    assert "mlops train" not in output
    assert time.monotonic() - started < 60
    assert checkout.pinned() == before
    assert checkout.kept() == kept


@pytest.mark.usefixtures("first_up")
def test_every_process_survives_a_kill(checkout: Checkout) -> None:
    """All but the supervisor come back by themselves; the supervisor comes back with `make up`."""
    supervisor = int((checkout.folder / ".mlops/local-dev/supervisord.pid").read_text())
    for process in checkout.processes():
        if process.pid != supervisor and process.is_running():
            process.kill()
            assert _eventually(lambda: checkout.predict()["release"] == checkout.pinned()), process
    assert _eventually(lambda: urllib.request.urlopen(f"{checkout.tracking}/health", timeout=5).status == 200)
    psutil.Process(supervisor).kill()
    checkout.make("up")
    assert checkout.predict()["release"] == checkout.pinned()


@pytest.mark.usefixtures("first_up")
def test_make_down_leaves_nothing_and_a_new_make_up_works(checkout: Checkout) -> None:
    output = checkout.make("down")
    assert "make down YES=1" in output
    assert not checkout.processes()
    assert (checkout.folder / ".mlops/local-dev/store").exists()
    served_before = checkout.pinned()
    checkout.make("up")
    assert checkout.predict()["release"] == served_before
    checkout.make("down", "YES=1")
    assert not checkout.processes()
    assert not (checkout.folder / ".mlops/local-dev").exists()
    assert (checkout.folder / STACK_FILE).read_text() == checkout.stack_file_before


def _eventually(condition: object) -> bool:
    deadline = time.monotonic() + RECOVERY_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except OSError:
            pass
        time.sleep(0.2)
    return False
