"""What clients do to a server with bytes alone: wrong, split, slow, too much, half closed, or meant to be misread."""

import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml.bundle.schema import BundleSchema
from ml.problem import Problem
from ml.store import Store
from tests.conftest import publish_signed
from tests.processes import JSON, Process, server, state

SHORT = {"--head-timeout-s": "0.4", "--body-timeout-s": "0.6", "--write-timeout-s": "2", "--maximum-connections": "8"}
SPARE = 32


@dataclass
class Answer:
    status: int
    head: bytes
    body: bytes


@pytest.fixture(scope="module")
def example(small_problem: Problem) -> bytes:
    return json.dumps(BundleSchema.of(small_problem).example).encode()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("connections")
    store = Store((folder / "store").as_uri())
    with server(folder, store, *(word for pair in SHORT.items() for word in pair)) as process:
        state(folder, publish_signed(store, built))
        process.wait_for(lambda: process.ask("GET", "/ready")[0] == 200)
        yield process
        assert process.popen.poll() is None
        assert b"Traceback" not in process.said, process.said.decode()


def connect(process: Process, timeout_s: float = 10) -> socket.socket:
    return socket.create_connection(("127.0.0.1", process.port), timeout=timeout_s)


def read_answers(raw: socket.socket) -> list[Answer]:
    """Every answer until the server ends the connection or says nothing more."""
    data = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while chunk := raw.recv(65536):
            data += chunk
    answers: list[Answer] = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        found = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        assert found, data[:200]
        if found.group(1) == b"100":
            data = rest
            continue
        length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))  # type: ignore[union-attr]
        answers.append(Answer(int(found.group(1)), head, rest[:length]))
        data = rest[length:]
    return answers


def say(process: Process, *parts: bytes, timeout_s: float = 10) -> list[Answer]:
    with connect(process, timeout_s) as raw:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                raw.sendall(part)
        return read_answers(raw)


def post(body: bytes, *headers: bytes, path: bytes = b"/predict") -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: localhost", b"Content-Type: application/json"]
    lines.append(b"Connection: close")
    return b"\r\n".join([*lines, *(headers or (b"Content-Length: %d" % len(body),)), b"", body])


GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CLEAN = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_request_may_come_in_pieces(running: Process, example: bytes, size: int) -> None:
    request = post(example)
    answers = say(running, *(request[n : n + size] for n in range(0, len(request), size)))
    assert [answer.status for answer in answers] == [200]


def test_a_chunked_request_is_read_and_its_trailers_change_nothing(running: Process, example: bytes) -> None:
    chunk = b"%x;extension=1\r\n" % len(example) + example + b"\r\n0\r\nX-Request-ID: trailer\r\n\r\n"
    (answer,) = say(running, post(chunk, b"Transfer-Encoding: chunked", b"X-Request-ID: head"))
    assert (answer.status, json.loads(answer.body)["request_id"]) == (200, "head")


def test_pipelined_requests_are_answered_in_their_order(running: Process, example: bytes) -> None:
    request = post(example).replace(b"Connection: close\r\n", b"")
    numbered = [request.replace(b"Host: localhost", b"Host: localhost\r\nX-Request-ID: n%d" % n) for n in range(20)]
    answers = say(running, b"".join(numbered) + GET)
    assert [answer.status for answer in answers] == [200] * 21
    assert [json.loads(a.body).get("request_id") for a in answers[:-1]] == [f"n{n}" for n in range(20)]


def test_what_is_wrong_behind_a_good_request_is_said_after_its_answer(running: Process, example: bytes) -> None:
    good = post(example).replace(b"Connection: close\r\n", b"")
    answers = say(running, good + b"nonsense\r\n\r\n")
    assert [answer.status for answer in answers] == [200, 400]
    longer_than_it_says = good.replace(b"Content-Length: %d" % len(example), b"Content-Length: 2")
    assert [answer.status for answer in say(running, longer_than_it_says)] == [400, 400]


def test_an_upgrade_is_passed_over(running: Process, example: bytes) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"
    request = post(example).replace(b"Connection: close", upgrade)
    assert [answer.status for answer in say(running, request + GET)] == [200, 200]
    chunk = b"%x\r\n" % len(example) + example + b"\r\n0\r\n\r\n"
    request = post(chunk, b"Transfer-Encoding: chunked").replace(b"Connection: close", upgrade)
    assert [answer.status for answer in say(running, request[:200], request[200:], GET)] == [200, 200]
    websocket = CLEAN + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n"
    assert [answer.status for answer in say(running, websocket, GET)] == [200, 200]


@pytest.mark.parametrize(
    ("parts", "statuses"),
    [
        ([], []),  # it says nothing
        ([b"GET /hea"], [408]),
        ([b"GET /health HTTP/1.1\r\nHost: localhost\r\n"], [408]),
        ([post(b"{}", b"Content-Length: 100")], [408]),
        ([post(b"5\r\n{}", b"Transfer-Encoding: chunked")], [408]),
        ([GET.replace(b"Connection: close\r\n", b""), b"GET /"], [200, 408]),
    ],
)
def test_a_slow_client_is_given_up(running: Process, parts: list[bytes], statuses: list[int]) -> None:
    started = time.monotonic()
    with connect(running) as raw:
        for part in parts:
            raw.sendall(part)
            time.sleep(0.05)  # so that they are not one
        assert [answer.status for answer in read_answers(raw)] == statuses
    assert time.monotonic() - started < 8


def test_a_head_that_trickles_is_given_up_all_the_same(running: Process) -> None:
    with connect(running) as raw, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        for number in range(100):
            raw.sendall(b"X-%d: y\r\n" % number)
            raw.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                assert b"408" in raw.recv(4096)
                return
    pytest.fail("it was waited for")


def is_dropped(raw: socket.socket, request: bytes, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            raw.sendall(request)
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            return True
    return False


def test_one_that_does_not_read_its_answers_is_dropped(running: Process, example: bytes) -> None:
    rows = b'{"rows": [' + b",".join([example] * 2_000) + b"]}"
    request = post(rows).replace(b"Connection: close\r\n", b"")
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(0.5)
        raw.connect(("127.0.0.1", running.port))
        assert is_dropped(raw, request, within_s=30)
    assert running.ask("GET", "/health")[0] == 200


def test_a_client_that_sends_no_more_still_gets_its_answer(running: Process, example: bytes) -> None:
    for request, status in ((post(example), 200), (post(example)[:-3], 400), (GET, 200)):
        with connect(running) as raw:
            raw.sendall(request)
            raw.shutdown(socket.SHUT_WR)
            (answer,) = read_answers(raw)
            assert answer.status == status
    with connect(running) as raw:
        raw.sendall(GET[:9])
        raw.shutdown(socket.SHUT_WR)
        assert read_answers(raw) == []


def test_a_client_is_not_blamed_for_a_server_that_stood_still(running: Process) -> None:
    with connect(running) as raw:
        raw.sendall(GET[:20])
        os.kill(running.popen.pid, signal.SIGSTOP)
        try:
            raw.sendall(GET[20:])
            time.sleep(float(SHORT["--head-timeout-s"]) * 3)
        finally:
            os.kill(running.popen.pid, signal.SIGCONT)
        assert [answer.status for answer in read_answers(raw)] == [200]


def test_a_client_that_is_gone_costs_nothing(running: Process, example: bytes) -> None:
    for cut in (5, 60, 100, 250, len(post(example))):
        for _ in range(5):
            with connect(running) as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                raw.sendall(post(example)[:cut])
    # Those that asked before they went hold places until the server has read that they are gone.
    running.wait_for(lambda: running.ask("POST", "/predict", example, JSON)[0] == 200)


@pytest.mark.parametrize("announced", [True, False])
def test_too_large_a_body_is_refused_though_the_client_goes_on_sending(running: Process, announced: bool) -> None:
    body = b"[" + b" " * (6 * 1024 * 1024) + b"]"
    length = b"Content-Length: %d" % len(body)
    chunked = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    request = post(body, length) if announced else post(chunked, b"Transfer-Encoding: chunked")
    (answer,) = say(running, request)
    assert answer.status == 413
    assert b"4194304 bytes" in answer.body
    (answer,) = say(running, post(b"", b"Content-Length: 999999999", b"Expect: 100-continue"))
    assert answer.status == 413


def test_past_its_connections_it_answers_health_alone_and_the_slow_make_room(running: Process, example: bytes) -> None:
    limit = int(SHORT["--maximum-connections"])
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(running)) for _ in range(limit)]
        for raw in held:
            raw.sendall(CLEAN + b"\r\n")
            assert b"200" in raw.recv(4096)
        spare = stack.enter_context(connect(running))
        for request, status in ((CLEAN + b"\r\n", b"200"), (post(example), b"503"), (CLEAN + b"\r\n", b"200")):
            spare.sendall(request.replace(b"Connection: close\r\n", b""))
            said = spare.recv(65536)
            assert said.startswith(b"HTTP/1.1 " + status), said
            assert (b"retry-after: 1" in said.lower()) == (status == b"503")
        for raw in [stack.enter_context(connect(running)) for _ in range(SPARE + limit)]:
            raw.sendall(CLEAN)  # and no more: the one that waits longest makes room for the next
        assert [answer.status for answer in say(running, GET)] == [200]
        assert [answer.status for answer in read_answers(spare)] == [503]
        held[0].close()
        running.wait_for(lambda: running.ask("POST", "/predict", example, JSON)[0] == 200)
    running.wait_for(lambda: running.ask("POST", "/predict", example, JSON)[0] == 200)


VALUES = {
    "1e400": (400, 422),
    "-1e400": (400, 422),
    "9" * 5000: (400, 422),
    "-" + "9" * 5000: (400, 422),
    "18446744073709551616": (422,),
    "1.5": (422,),
    '"text"': (422,),
    '"\\ud800"': (400, 422),
    "true": (422,),
    "null": (422,),
    "[1]": (422,),
    "{}": (422,),
    "[" * 100_000: (400,),
    "NaN": (400,),
    "Infinity": (400,),
    "-Infinity": (400,),
    "'1'": (400,),
    "1,": (400,),
}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value[:24])
def test_a_value_that_does_not_fit_is_refused_by_its_row_and_column(
    running: Process, example: bytes, value: str
) -> None:
    row = json.loads(example)
    column = next(iter(row))
    bad = json.dumps(row | {column: "@"}).replace('"@"', value).encode()
    status, answer = running.ask("POST", "/predict", b'{"rows": [' + example + b", " + bad + b"]}", JSON)
    said = json.loads(answer)
    assert status in VALUES[value]
    assert said["error"]
    if status == 422:
        assert [(m["row"], m["column"]) for m in said["mistakes"]] == [(1, column)]
        assert "integer" in said["mistakes"][0]["expected"]
    assert running.ask("GET", "/health")[0] == 200


def test_a_column_named_twice_missing_or_unknown_is_refused(running: Process, example: bytes) -> None:
    row = json.loads(example)
    column = next(iter(row))
    twice = example[:-1] + b', "%b": "x", "%b": %d}' % (column.encode(), column.encode(), row[column])
    for body in (twice, json.dumps({k: v for k, v in row.items() if k != column}).encode(), b'{"unknown": 1}'):
        status, answer = running.ask("POST", "/predict", body, JSON)
        assert status == 422
        assert json.loads(answer)["error"].startswith("The request does not fit the model")
