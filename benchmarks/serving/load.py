"""One run of one server: how long until it answers, then requests as fast as it takes them, then its memory."""

import http.client
import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.serving.contenders import Contender, Rows
from pipelines._sandbox import free_ports

START_S = 120.0
SAMPLED_S = 0.5
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
TICKS = os.sysconf("SC_CLK_TCK")
# wrk's own report in JSON; times in microseconds. Errors of its sockets and statuses past 399 are counted apart.
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[{body}]==]
function done(summary, latency, requests)
  local e = summary.errors
  print(string.format('{{"requests":%d,"duration_us":%d,"errors":%d,"p50_us":%d,"p99_us":%d}}',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


class Server:
    """A contender as a process tree on one core; `cold_start_s` is from its start to its first good answer."""

    def __init__(self, contender: Contender, core: int, rows: Rows, folder: Path) -> None:
        self._contender = contender
        self._port = free_ports(1)[0]
        self._core = core
        self._folder = folder
        self.rss_mb: list[float] = []  # of all its processes, every SAMPLED_S of load
        started = time.perf_counter()
        log = (folder / "server.log").open("wb")
        command = ["taskset", "--cpu-list", str(core), *contender.command(self._port)]
        # MLflow finds uvicorn on PATH.
        paths = os.pathsep.join([str(Path(contender.command(0)[0]).parent), os.environ["PATH"]])
        environment = os.environ | {"PATH": paths}
        self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)
        while self.ask(rows) is None:
            if time.perf_counter() - started > START_S or self._process.poll() is not None:
                said = (folder / "server.log").read_text(errors="replace")[-2000:]
                self.stop()
                raise RuntimeError(f"{contender.name} did not start:\n{said}")
            time.sleep(0.005)
        self.cold_start_s = time.perf_counter() - started

    def ask(self, rows: Rows) -> Any:
        """The answer to rows, None where there is none yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            body = json.dumps(self._contender.body(rows))
            connection.request("POST", self._contender.path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return json.loads(response.read()) if response.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def load(self, rows: Rows, connections: int, seconds: int, core: int) -> dict[str, float]:
        """Requests a second, quantiles of latency in ms, errors, and the server's own time per request in µs.

        `others_share` is how much of the server's core went to others meanwhile, 0 to 1: the machine's noise.
        """
        script = self._folder / "load.lua"
        script.write_text(SCRIPT.format(body=json.dumps(self._contender.body(rows), separators=(",", ":"))))
        url = f"http://127.0.0.1:{self._port}{self._contender.path}"
        wrk = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
        before, machine_before, began = self._cpu_s(), _busy_s(self._core), time.monotonic()
        command = ["taskset", "--cpu-list", str(core), *wrk, "--timeout", "30s", "--script", str(script), url]
        said = self._run(command)
        spent_s, busy_s = self._cpu_s() - before, _busy_s(self._core) - machine_before
        took_s = time.monotonic() - began
        found = json.loads(said.splitlines()[-1])
        return {
            "requests_per_second": found["requests"] / found["duration_us"] * 1e6,
            "p50_ms": found["p50_us"] / 1000,
            "p99_ms": found["p99_us"] / 1000,
            "errors": found["errors"],
            "server_us_per_request": spent_s / max(1, found["requests"]) * 1e6,
            "others_share": max(0.0, busy_s - spent_s) / took_s,
        }

    def _run(self, command: list[str]) -> str:
        """What a command says; meanwhile the memory of the server is looked at."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        while True:
            try:
                said, _ = process.communicate(timeout=SAMPLED_S)
                break
            except subprocess.TimeoutExpired:
                self.rss_mb.append(sum(_resident_mb(pid) for pid in self._tree()))
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command, said)
        return said

    def memory(self) -> dict[str, float]:
        """Resident and proportional memory of all its processes in MB, and how many they are."""
        found = {"rss_mb": 0.0, "pss_mb": 0.0, "processes": 0.0}
        for pid in self._tree():
            rollup = dict(line.split(":", 1) for line in _read(pid, "smaps_rollup").splitlines()[1:])
            if not rollup:
                continue
            found["rss_mb"] += int(rollup["Rss"].split()[0]) / 1024
            found["pss_mb"] += int(rollup["Pss"].split()[0]) / 1024
            found["processes"] += 1
        return found

    def stop(self) -> None:
        """End it and whatever it started."""
        tree = self._tree()
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for pid in tree:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _cpu_s(self) -> float:
        """What its processes have used, their ended children among it."""
        fields = [_read(pid, "stat").rpartition(")")[2].split() for pid in self._tree()]
        return sum(sum(map(int, f[11:15])) for f in fields) / TICKS

    def _tree(self) -> list[int]:
        """It, all that it started, and what these started, in a session of their own or not."""
        fields = {pid: _read(pid, "stat").rpartition(")")[2].split() for pid in _pids()}
        found = {self._process.pid}
        while more := {pid for pid, f in fields.items() if f and {int(f[1]), int(f[3])} & found} - found:
            found |= more
        return [pid for pid in found if pid in fields]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _busy_s(core: int) -> float:
    """How long a core has worked since the machine's start, and how long it was lent to other machines."""
    lines = Path("/proc/stat").read_text().splitlines()
    _, *fields = next(line.split() for line in lines if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / TICKS


def _resident_mb(pid: int) -> float:
    fields = _read(pid, "statm").split()
    return int(fields[1]) * PAGE_MB if fields else 0.0


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return ""
