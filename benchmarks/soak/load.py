"""A server under load: clients that ask rightly, clients that do everything wrong, and releases that change."""

import asyncio
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_S = 60
SAMPLED_EVERY_S = 2.0
SETTLED = 0.25  # the share of the time after which memory has to be flat
FLAT, WARMING, WARM_S = 0.05, 0.3, 300  # the growth that is let pass, and in a run too short to be warm
JSON_HEAD = b"Host: localhost\r\nContent-Type: application/json\r\n"


@dataclass
class Server:
    """A server process and where it listens."""

    pid: int
    port: int
    log: Path


@contextlib.contextmanager
def two_releases() -> Iterator[tuple[Path, str, list[str]]]:
    """A folder, a store in it, and the digests of two signed releases of the tests' small model."""
    import pytest

    from ml.release.build import build
    from ml.store import Store
    from tests.conftest import LENIENT, origin, publish_signed, write_candidate

    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        folder = Path(scratch)
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("MLOPS_SIGN_AS", "soak@example.org")
        from ml.problem import Problem, load_problem

        definition = load_problem().model_dump()
        for attribute in definition["protected"]:
            attribute["limits"] = dict.fromkeys(attribute["limits"], 1.0)
        problem = Problem.model_validate(definition | {"gates": LENIENT, "waivers": []})
        store = Store((folder / "store").as_uri())
        releases: list[str] = []
        for version in ("1", "2"):
            write_candidate(folder / f"candidate-{version}", problem, seed=int(version))
            build(folder / f"candidate-{version}", folder / f"bundle-{version}", problem, origin(version))
            releases.append(publish_signed(store, folder / f"bundle-{version}"))
        yield folder, store.uri, releases


@contextlib.contextmanager
def serve(folder: Path, store_uri: str, release: str, workers: str = "1") -> Iterator[Server]:
    """`mlops serve` on a free port, with metrics and prediction log on, ready."""
    state(folder, release)
    log = folder / "server.log"
    limits = ["--head-timeout-s", "5", "--body-timeout-s", "5", "--rotate-interval-s", "5"]
    limits += ["--workers", workers] if workers != "1" else []
    arguments = ["--deployment", str(folder / "serving" / "deployment.json"), "--store", store_uri, "--port", "0"]
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "-m", "ml", "serve", *arguments, *limits], stderr=stream)
    try:
        deadline = time.monotonic() + START_S
        while not (found := re.search(rb"Listening on http://127.0.0.1:(\d+)", log.read_bytes())):
            _assert_alive(process, deadline, log)
            time.sleep(0.05)
        server = Server(process.pid, int(found.group(1)), log)
        while not _is_ready(server):
            _assert_alive(process, deadline, log)
            time.sleep(0.05)
        yield server
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(timeout=60)


def _assert_alive(process: subprocess.Popen[bytes], deadline: float, log: Path) -> None:
    assert process.poll() is None, log.read_text()
    assert time.monotonic() < deadline, log.read_text()


def state(folder: Path, release: str) -> None:
    """State the release that is to serve, as a whole."""
    file = folder / "serving" / "deployment.json"
    file.parent.mkdir(exist_ok=True)
    file.with_suffix(".new").write_text(json.dumps({"release": release}))
    os.replace(file.with_suffix(".new"), file)


@dataclass
class Soak:
    """One run; what is wrong is kept, up to a few of each kind."""

    server: Server
    folder: Path
    releases: list[str]
    clients: int
    swap_every_s: float
    example: dict[str, Any] = field(default_factory=dict[str, Any])
    statuses: Counter[str] = field(default_factory=Counter[str])
    wrong: Counter[str] = field(default_factory=Counter[str])
    memory_mb: list[float] = field(default_factory=list[float])
    swaps: int = 0
    # Digests that may answer a request: one between swaps, both from a swap's request to its answer.
    allowed: frozenset[str] = frozenset()

    def run(self, seconds: float, progress: Callable[[str], None]) -> dict[str, Any]:
        """Load for that long; what was found."""
        asyncio.run(self._run(seconds, progress))
        settled = self.memory_mb[int(len(self.memory_mb) * SETTLED) :]
        third = max(1, len(settled) // 3)
        growth = sum(settled[-third:]) / third - sum(settled[:third]) / third
        if growth > (FLAT if seconds >= WARM_S else WARMING) * settled[0]:
            self.wrong[f"memory grew by {growth:.1f} MB"] += 1
        if self.swaps == 0 or self.statuses["good 200"] == 0:
            self.wrong["nothing was swapped or answered"] += 1
        return {
            "seconds": round(seconds),
            "answers": dict(sorted(self.statuses.items())),
            "swaps": self.swaps,
            "memory_mb": {"first": settled[0], "last": settled[-1], "most": max(settled), "growth": round(growth, 2)},
            "wrong": dict(self.wrong),
        }

    async def _run(self, seconds: float, progress: Callable[[str], None]) -> None:
        self.allowed, self.example = frozenset(self.releases[:1]), example_of(self.server)
        deadline = time.monotonic() + seconds
        works = [self._good(n) for n in range(self.clients)]
        works += [self._bad(n) for n in range(3)] + [self._swap(), self._watch(progress)]
        tasks = [asyncio.ensure_future(work) for work in works]
        while time.monotonic() < deadline and not any(task.done() for task in tasks):
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(ended, asyncio.CancelledError):
                self.wrong[f"a client ended: {ended!r}"] += 1

    async def _good(self, number: int) -> None:
        """Rows that fit, on a connection that is kept: each must be answered, by a release that may answer."""
        example = json.dumps(self.example)
        sizes = random.Random(number)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        while True:
            rows = sizes.choice([1, 1, 1, 1, 20, 300])
            body = f'{{"rows": [{",".join([example] * rows)}]}}'.encode()
            before = self.allowed
            writer.write(b"POST /predict HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (JSON_HEAD, len(body)) + body)
            status, answer = await _answer(reader)
            self.statuses[f"good {status}"] += 1
            if status != 200:
                self.wrong[f"good request answered {status}: {answer[:200]!r}"] += 1
            elif json.loads(answer)["release"] not in before | self.allowed:
                self.wrong["wrong digest"] += 1
            await asyncio.sleep(sizes.random() * 0.02)

    async def _bad(self, number: int) -> None:
        """Everything else: each must be refused with a 4xx, or be the client's own end of the connection."""
        chance = random.Random(1000 + number)
        shapes = bad_shapes(self.example)
        while True:
            data, ends = chance.choice(shapes)
            if chance.random() < 0.2:
                data = data[: chance.randrange(1, len(data) + 1)]
                ends = True
            status = await self._throw(data, ends)
            self.statuses[f"bad {status}"] += 1
            if isinstance(status, int) and (status >= 500 or status < 200):
                self.wrong[f"bad request answered {status}: {data[:100]!r}"] += 1
            await asyncio.sleep(chance.random() * 0.02)

    async def _throw(self, data: bytes, ends: bool) -> int | str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                await writer.drain()
                if ends and random.random() < 0.5:
                    writer.write_eof()
                elif ends:
                    return "left"
            async with asyncio.timeout(15):
                return (await _answer(reader))[0]
        except (asyncio.IncompleteReadError, ConnectionError):
            return "closed"
        except TimeoutError:
            self.wrong[f"no answer and no end: {data[:100]!r}"] += 1
            return "silent"
        finally:
            writer.close()

    async def _swap(self) -> None:
        """State the other release, and have it serve; what answers after that is that release alone."""
        token = (self.folder / "serving" / "admin-token").read_text()
        while True:
            await asyncio.sleep(self.swap_every_s)
            (before,) = self.allowed
            after = next(release for release in self.releases if release != before)
            self.allowed = frozenset(self.releases)
            state(self.folder, after)
            reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
            writer.write(
                f"POST /admin/reload HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
            )
            status, answer = await _answer(reader)
            writer.close()
            if status != 200 or json.loads(answer)["release"] != after:
                self.wrong[f"swap answered {status}: {answer[:200]!r}"] += 1
            self.allowed = frozenset([after])
            self.swaps += 1

    async def _watch(self, progress: Callable[[str], None]) -> None:
        started, told = time.monotonic(), 0.0
        while True:
            self.memory_mb.append(round(resident_mb(self.server.pid), 1))
            passed = time.monotonic() - started
            if passed - told >= 15:
                told = passed
                answered = sum(self.statuses.values())
                wrong = f"  WRONG {dict(self.wrong)}" if self.wrong else ""
                progress(f"{passed:5.0f} s  {answered} answers  {self.swaps} swaps  {self.memory_mb[-1]} MB{wrong}")
            await asyncio.sleep(SAMPLED_EVERY_S)


def bad_shapes(example: dict[str, Any]) -> list[tuple[bytes, bool]]:
    """Requests that must be refused, and whether the client goes away without waiting."""
    column = next(iter(example))
    good = json.dumps(example).encode()

    def with_value(text: str) -> bytes:
        return json.dumps(example | {column: "@"}).replace('"@"', text).encode()

    values = ("1e400", "NaN", "-Infinity", "9" * 10_000, '"text"', "true", "[1]", "{}", "1.5", '"\\ud800"', "1e-400")
    bodies = [with_value(value) for value in values]
    bodies += [b"", b"{", b"[" * 100_000, b"\xff\xfe{}", b"[]", b"null", b'{"rows": 3}', b"{}" * 3, good[:-1]]
    bodies += [json.dumps(example | {"unknown": 1}).encode(), json.dumps({"rows": [{}] * 50}).encode()]
    bodies += [b'{"rows": [' + b",".join([good] * 10_001) + b"]}", b" " * (5 * 1024 * 1024)]
    posts = [
        b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (path, JSON_HEAD, len(body)) + body
        for body in bodies
        for path in (b"/predict", b"/invocations")
    ]
    raw = [
        b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"Content-Length: 500\r\n\r\n{}",
        b"POST /predict HTTP/1.1\r\n" + JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"DELETE /predict HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /health HTTP/1.1\r\nHo",
    ]
    return [(data, False) for data in posts + raw] + [(data, True) for data in raw]


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"(?i)\ncontent-length: (\d+)", head)
    assert found, head
    return int(head.split(b" ", 2)[1]), await reader.readexactly(int(found.group(1)))


def resident_mb(pid: int) -> float:
    """Resident memory of a process and its children, but for those that store the log: each ends within seconds."""
    import psutil

    root = psutil.Process(pid)
    total = 0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += 0 if "ml.serving.log.store" in process.cmdline() else process.memory_info().rss
    return total / 1e6


def _is_ready(server: Server) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/ready", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def example_of(server: Server) -> dict[str, Any]:
    """A row that the server answers, as it describes itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/openapi.json", timeout=30) as response:
        content = json.load(response)["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    return content["examples"]["one row"]["value"]
