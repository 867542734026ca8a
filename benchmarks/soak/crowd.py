"""More clients than a server has places for, busy and slow ones: how soon probes are answered and others refused."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from benchmarks.soak.load import Server, example_of, serve, two_releases

RESULTS = Path(__file__).with_name("crowd.json")
PROBES = ("/health", "/metrics")
MOST_MS = 1000.0
REFUSED = ("429", "503")
JSON = {"Content-Type": "application/json"}


@click.command(epilog="Example: python -m benchmarks.soak.crowd --seconds 20")
@click.option("--seconds", default=20.0, show_default=True, type=click.FloatRange(1), help="How long for each crowd.")
@click.option("--keep/--no-keep", default=True, show_default=True, help="Write crowd.json.")
def main(seconds: float, keep: bool) -> None:
    """Ask a server among 500 and 1,000 busy connections of wrk, and 600 slow ones; exits with 1 past a second."""
    report: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "cores": os.cpu_count()}
    with two_releases() as (folder, store_uri, releases), serve(folder, store_uri, releases[0]) as server:
        body = json.dumps(example_of(server)).encode()
        report["alone"] = _asked(server, body, seconds / 4, lambda: True)
        for count in (500, 1000):
            report[f"{count} busy"] = _among_busy(server, body, count, seconds)
        report["600 slow"] = _among_slow(server, body, 600, seconds)
    report["load average"] = round(os.getloadavg()[0], 1)
    click.echo(json.dumps(report, indent=2))
    if keep:
        RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    late = [crowd for crowd, said in report.items() if isinstance(said, dict) and _is_late(said)]
    if late:
        sys.exit(f"Probes waited for more than {MOST_MS:g} ms, or were not answered: {', '.join(late)}.")


def _among_busy(server: Server, body: bytes, count: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch) / "predict.lua"
        script.write_text(
            "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\n"
            f"wrk.body = [==[{body.decode()}]==]\n"
        )
        url = f"http://127.0.0.1:{server.port}/predict"
        command = ["wrk", "-t1", f"-c{count}", f"-d{seconds:g}s", "-s", str(script), url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as crowd:
            found = _asked(server, body, seconds, lambda: crowd.poll() is None)
            said = crowd.communicate()[0]
    return found | {"wrk": [line.strip() for line in said.splitlines() if "requests in" in line or "Non-2xx" in line]}


def _among_slow(server: Server, body: bytes, count: int, seconds: float) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")  # and no more
        return _asked(server, body, min(seconds, 4), lambda: True)  # they are given up after 5 s


def _asked(server: Server, body: bytes, seconds: float, goes_on: Callable[[], bool]) -> dict[str, Any]:
    """What was answered over new connections, and in how many milliseconds, by path; refusals apart."""
    times: dict[str, list[float]] = {}
    statuses: dict[str, Counter[str]] = {}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and goes_on():
        for path in (*PROBES, "/predict"):
            started = time.perf_counter()
            status = _status(server, path, body)
            name = f"{path}, refused" if path not in PROBES and status in REFUSED else path
            times.setdefault(name, []).append((time.perf_counter() - started) * 1000)
            statuses.setdefault(name, Counter())[status] += 1
    return {path: _summary(sorted(found)) | {"answers": dict(statuses[path])} for path, found in times.items()}


def _status(server: Server, path: str, body: bytes) -> str:
    asked = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    with contextlib.closing(asked) as connection:
        try:
            if path in PROBES:
                connection.request("GET", path)
            else:
                connection.request("POST", path, body, JSON)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        return str(response.status)


def _summary(found: list[float]) -> dict[str, float]:
    return {
        "p50_ms": round(found[len(found) // 2], 1),
        "p99_ms": round(found[int(len(found) * 0.99)], 1),
        "most_ms": round(found[-1], 1),
    }


def _is_late(said: dict[str, Any]) -> bool:
    return any(said[path]["most_ms"] > MOST_MS or set(said[path]["answers"]) != {"200"} for path in PROBES)


if __name__ == "__main__":
    main()
