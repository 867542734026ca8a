"""Real traffic on a real server, looked at by the real monitor: replayed, logged, labelled late, reported."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ml.cli import mlops
from ml.monitoring.latest import LATEST, read_latest
from ml.predictions import PREFIX
from ml.problem import Problem
from ml.runtime import Runtime
from ml.store import Store
from tests.processes import Process, process, server, state

ROOT = Path(__file__).parents[2]
ROWS = 1500
SOON = ("--flush-interval-s", "0.1", "--rotate-interval-s", "0.3")


@pytest.fixture
def running(tmp_path: Path, store: Store, published: str) -> Iterator[Process]:
    state(tmp_path, published)
    with server(tmp_path, store, *SOON) as running:
        running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)
        yield running


@pytest.fixture
def command(running: Process, store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`mlops … --json` on the stack of the running server."""
    runtime = {"stack": "local-dev", "cloud": "local", "platform": "process", "environment": "dev"}
    uris = {"store_uri": store.uri, "tracking_uri": "unused", "monitor_url": "unused"}
    endpoint = {"endpoint_url": f"http://127.0.0.1:{running.port}"}
    monkeypatch.setenv("MLOPS_RUNTIME", Runtime.model_validate(runtime | uris | endpoint).model_dump_json())

    def run(*arguments: str, exit_code: int = 0) -> Any:
        result = CliRunner().invoke(mlops, [*arguments, "--json"], catch_exceptions=exit_code == 0)
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout) if exit_code == 0 else result.output

    return run


def replay(command: Callable[..., Any], *options: str) -> Any:
    return command("replay", "--dataset", "2017", "--rows", str(ROWS), "--root", str(ROOT), *options)


def is_logged(store: Store, rows: int) -> bool:
    return sum(pq.read_metadata(store.open(k)).num_rows for k in store.list(PREFIX) if k.endswith(".parquet")) >= rows


def test_replayed_traffic_is_logged_labelled_and_reported(
    tmp_path: Path, store: Store, published: str, running: Process, command: Callable[..., Any]
) -> None:
    truth = tmp_path / "truth.csv"
    played = replay(command, "--where", "AGEP=17..30", "--truth", str(truth), "--batch", "499")
    assert played["rows"] == ROWS
    assert played["releases"] == {published: ROWS}
    assert played["failures"] == {}
    running.wait_for(lambda: is_logged(store, ROWS))
    before = command("monitor", "run")
    assert (before["rows"], before["labels"]) == (ROWS, 0)
    assert before["drift"]["features"]["AGEP"]["alert"]
    assert {metric["basis"] for metric in before["performance"]["metrics"].values()} <= {"estimated", None}
    assert command("labels", "add", str(truth))["accepted"] == ROWS
    after = command("monitor", "run")
    assert after["labels"] == ROWS
    assert {metric["basis"] for metric in after["performance"]["metrics"].values()} <= {"realised", None}
    assert json.loads(store.read(LATEST)) == after


def test_the_seed_fixes_what_is_played_and_names_keep_replays_apart(
    tmp_path: Path, store: Store, small_problem: Problem, running: Process, command: Callable[..., Any]
) -> None:
    truths = [tmp_path / f"{name}.csv" for name in "abc"]
    for truth, seed in zip(truths, ("1", "1", "2"), strict=True):
        replay(command, "--seed", seed, "--truth", str(truth))
    labels = [[line.split(",")[1] for line in truth.read_text().splitlines()] for truth in truths]
    ids = [{line.split(",")[0] for line in truth.read_text().splitlines()[1:]} for truth in truths]
    assert labels[0] == labels[1] != labels[2]
    assert not ids[0] & ids[1]
    named = replay(command, "--name", "mine", "--batch", "1000")
    assert named["name"] == "mine"
    assert named["seconds"] < replay(command, "--rate", "1000")["seconds"]


def test_requests_that_fail_are_counted_and_fail_the_command(running: Process, command: Callable[..., Any]) -> None:
    assert "AGEP=17-30" in replay_refused(command, "AGEP=17-30")
    assert "NO is no column" in replay_refused(command, "NO=1", exit_code=1)
    running.end()
    assert "did not take the first request" in replay_refused(command, "SEX=1,2", exit_code=1)


def replay_refused(command: Callable[..., Any], where: str, exit_code: int = 2) -> str:
    result = CliRunner().invoke(mlops, ["replay", "--dataset", "2017", "--root", str(ROOT), "--where", where])
    assert result.exit_code == exit_code
    return result.output + str(result.exception)


def test_the_monitor_runs_on_schedule_and_shows_the_report(
    tmp_path: Path, store: Store, published: str, running: Process, command: Callable[..., Any]
) -> None:
    arguments = ("--store", store.uri, "--endpoint", f"http://127.0.0.1:{running.port}", "--interval-s", "0.2")
    with process("monitor", *arguments, "--every-s", "1") as monitor:

        def metrics() -> str:
            return monitor.ask("GET", "/metrics")[1].decode()

        monitor.wait_for(lambda: re.search(r'mlops_monitoring_runs_total\{result="ok"\} [1-9]', metrics()) is not None)
        assert monitor.ask("GET", "/report")[0] == 404
        assert b"No report yet" in monitor.ask("GET", "/")[1]
        replay(command, "--where", "AGEP=17..30")
        monitor.wait_for(lambda: f'mlops_monitoring_predictions{{release="{published}"}} {ROWS}.0' in metrics())
        assert "mlops_endpoint_up 1.0" in metrics()
        assert 'mlops_monitoring_alert{section="drift"} 1.0' in metrics()
        latest = read_latest(store)
        assert latest is not None
        status, page = monitor.ask("GET", "/report")
        assert status == 200
        assert published.encode() in page
        assert "▲ alert" in monitor.ask("GET", "/")[1].decode()


def test_a_run_that_fails_is_told_and_the_probes_go_on(tmp_path: Path, store: Store) -> None:
    today = datetime.now(UTC).date().isoformat()
    store.write(f"{PREFIX}/day={today}/release=x/broken.parquet", b"not a parquet file")
    with process("monitor", "--store", store.uri, "--interval-s", "0.2", "--every-s", "1") as monitor:
        monitor.wait_for(lambda: b'mlops_monitoring_runs_total{result="failed"}' in monitor.ask("GET", "/metrics")[1])
        assert b"The last run failed" in monitor.ask("GET", "/")[1]
        assert monitor.ask("GET", "/health")[0] == 200
        monitor.end()
