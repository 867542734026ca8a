"""What HTTP says of requests, byte by byte, to a server in a process of its own: ours, and uvicorn's where it can."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.http_cases import END, GET, GOOD, OURS, POST
from tests.processes import Process, process


@dataclass
class Answer:
    status: int
    head: bytes
    body: bytes


@pytest.fixture(scope="session")
def own() -> Iterator[Process]:
    with process("--http", "own", "--allowed-host", "*", module="tests.http_echo") as running:
        yield running
        assert running.popen.poll() is None
        assert running.said.count(b"Traceback") == running.said.count(b"RuntimeError: as it was asked to"), (
            running.said.decode()
        )


@pytest.fixture(scope="session")
def stock() -> Iterator[Process]:
    with process("--http", "uvicorn", "--allowed-host", "*", module="tests.http_echo") as running:
        yield running


def connect(server: Process) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def say(server: Process, *parts: bytes, wanted: int = 1) -> list[Answer]:
    """Every answer: as many as are wanted, and whatever comes behind them until the server ends the connection."""
    data, is_head = b"", b"".join(parts).startswith(b"HEAD")
    with connect(server) as raw, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for part in parts:
                raw.sendall(part)
        while len(read(data, is_head=is_head)) < wanted and (chunk := raw.recv(65536)):
            data += chunk
        with contextlib.suppress(OSError):  # it is ended already
            raw.shutdown(socket.SHUT_WR)
        while chunk := raw.recv(65536):
            data += chunk
    return read(data, is_head=is_head)


def read(data: bytes, *, is_head: bool = False) -> list[Answer]:
    """The answers that are whole."""
    answers: list[Answer] = []
    while b"\r\n\r\n" in data:
        head, _, data = data.partition(b"\r\n\r\n")
        found = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        assert found, head[:200]
        if found.group(1) == b"100":
            continue
        size = re.search(rb"(?i)content-length: (\d+)", head)
        assert size, head
        length = 0 if is_head else int(size.group(1))
        if len(data) < length:
            break
        answers.append(Answer(int(found.group(1)), head, data[:length]))
        data = data[length:]
    return answers


@pytest.mark.parametrize("case", GOOD | OURS)
def test_what_a_request_is_answered(own: Process, case: str) -> None:
    sent, wanted = (GOOD | OURS)[case]
    answers = say(own, sent, wanted=len(wanted))
    assert [answer.status for answer in answers] == wanted, answers
    for answer in answers:
        assert b"date: " in answer.head.lower()
        if answer.status >= 400:
            assert json.loads(answer.body)["error"]
            assert b"connection: close" in answer.head


@pytest.mark.parametrize("case", GOOD)
def test_the_same_application_is_served_by_uvicorn_as_it_comes(stock: Process, case: str) -> None:
    sent, wanted = GOOD[case]
    assert [answer.status for answer in say(stock, sent, wanted=len(wanted))] == wanted


@pytest.mark.parametrize("case", [name for name, (sent, _) in (GOOD | OURS).items() if len(sent) < 300])
def test_a_request_in_pieces_is_the_same_request(own: Process, case: str) -> None:
    sent, wanted = (GOOD | OURS)[case]
    pieces = [sent[place : place + 1] for place in range(len(sent))]
    answers = say(own, *pieces, wanted=len(wanted))
    # What is no method is refused at the first byte that shows it, before its line could be read.
    assert [400 if answer.status == 501 else answer.status for answer in answers] == [
        400 if status == 501 else status for status in wanted
    ]


def seen(server: Process, sent: bytes, wanted: int = 1) -> list[dict[str, object]]:
    return [json.loads(answer.body) for answer in say(server, sent, wanted=wanted)]


def test_what_was_asked_is_what_the_application_sees(own: Process, stock: Process) -> None:
    for server in (own, stock):
        asked = seen(
            server, b"GET /a%20b?c=%20d HTTP/1.1\r\nHost: h:8\r\n\r\n" + POST + b"Content-Length: 2\r\n\r\n{}", 2
        )
        assert [(it["method"], it["path"], it["query"], it["host"], it["text"]) for it in asked] == [
            ("GET", "/a b", "c=%20d", "h:8", ""),
            ("POST", "/p", "", "x", "{}"),
        ]


def test_a_target_that_names_its_server_counts_for_more_than_host(own: Process) -> None:
    (it,) = seen(own, b"GET http://evil.example:8/p?q HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (it["host"], it["path"], it["query"]) == ("evil.example:8", "/p", "q")


def test_a_body_is_the_same_however_it_is_cut(own: Process, stock: Process) -> None:
    body = bytes(range(256)) * 4_000
    chunks = b"".join(b"%x\r\n" % len(part) + part + b"\r\n" for part in (body[:1], body[1:300_000], body[300_000:]))
    asked = POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    asked += POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    for server in (own, stock):
        first, second = seen(server, asked, 2)
        assert first["bytes"] == len(body)
        assert first["sha256"] == second["sha256"]


def test_who_waits_to_be_asked_for_a_body_is_asked_once(own: Process, stock: Process) -> None:
    for server in (own, stock):
        with connect(server) as raw:
            raw.sendall(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            assert raw.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
            raw.sendall(b"{}")
            data = b""
            while not (answers := read(data)):
                data += raw.recv(65536)
            assert [answer.status for answer in answers] == [200]


def test_an_answer_to_head_has_no_body(own: Process, stock: Process) -> None:
    for server in (own, stock):
        with connect(server) as raw:
            raw.sendall(b"HEAD /p HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            data = b""
            while chunk := raw.recv(65536):
                data += chunk
        assert data.endswith(b"\r\n\r\n")
        assert b"200 OK" in data


def test_a_flood_of_what_is_no_body_holds_up_nobody_and_is_cut_off(own: Process) -> None:
    """S1: a trailer without an end, behind an answer that needed no body."""
    flood = GET.replace(b"\r\n", b"\r\nTransfer-Encoding: chunked\r\n", 1) + b"\r\n1\r\n{\r\n0\r\nX: "
    with connect(own) as raw:
        raw.sendall(flood)
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 100_000_000:
                raw.sendall(b"a" * 65_536)
                sent += 65_536
    assert sent < 100_000_000
    assert [answer.status for answer in say(own, END)] == [200]


def test_what_listens_here_alone_answers_to_its_own_names_alone() -> None:
    with process(module="tests.http_echo") as server:
        for sent, status in (
            (GET + b"\r\n", 403),
            (POST + b"Content-Length: 2\r\n\r\n{}", 403),
            (b"GET http://evil.example/p HTTP/1.1\r\nHost: localhost\r\n\r\n", 403),
            (b"GET http://localhost/p HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200),
            (b"GET /p HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % server.port, 200),
            (b"POST /p HTTP/1.1\r\nHost: [::1]\r\nOrigin: http://evil.example\r\n\r\n", 403),
        ):
            assert [answer.status for answer in say(server, sent)] == [status], sent
