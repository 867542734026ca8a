"""What listens on this machine alone answers to this machine's names alone."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.http.answers import Message, Response, Scope
from ml.http.names import names_of, only_for

HERE = names_of("127.0.0.1", ())


class _Application:
    """Says 200 to everything, in both ways."""

    def quick(self, _scope: Scope, _body: bytes, reply: Any) -> bool:
        reply(Response(200, b"{}"), "id")
        return True

    async def __call__(self, _scope: Scope, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


def ask(names: frozenset[str] | None, *headers: tuple[bytes, bytes]) -> int:
    """The status of a request, which both ways into the application have to agree on."""
    app, sent, replied = only_for(_Application(), names), list[Message](), list[Response]()
    scope = {"type": "http", "method": "POST", "headers": list(headers), "state": {}}

    async def send(message: Message) -> None:
        sent.append(message)

    with asyncio.Runner() as runner:
        runner.run(app(scope, None, send))
    is_taken = app.quick(scope, b"{}", lambda response, _: replied.append(response))
    assert is_taken == (sent[0]["status"] == 200) == bool(replied)
    if sent[0]["status"] == 403:
        assert "--allowed-host" in json.loads(sent[1]["body"])["error"]
    return sent[0]["status"]


OWN = ["localhost", "LocalHost:8080", "localhost.", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:80", "localhost:"]
EVERYWHERE = "0.0.0.0"  # noqa: S104 # nothing is bound here
FOREIGN = ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.nip.io", "notlocalhost", "", "x"]
CONFUSED = ["localhost@evil.example", "evil.example#localhost", "localhost/evil.example", "[::2]", "127.0.0.2"]


@pytest.mark.parametrize("host", OWN)
def test_its_own_names_are_answered(host: str) -> None:
    assert ask(HERE, (b"host", host.encode())) == 200
    assert ask(HERE, (b"host", b"localhost"), (b"origin", b"http://" + host.encode())) == 200


@pytest.mark.parametrize("host", [*FOREIGN, *CONFUSED, EVERYWHERE])
def test_other_names_are_refused_for_whom_it_asks_and_whence_it_comes(host: str) -> None:
    assert ask(HERE, (b"host", host.encode())) == 403
    assert ask(HERE, (b"host", b"localhost"), (b"host", host.encode())) == 403
    assert ask(HERE, (b"host", b"localhost"), (b"origin", b"https://" + host.encode())) == 403


@given(st.binary(max_size=40))
def test_no_bytes_make_another_name_its_own(name: bytes) -> None:
    if name.split(b":")[0].rstrip(b".").lower() not in (b"localhost", b"127.0.0.1") and not name.startswith(b"["):
        assert ask(HERE, (b"host", name)) == 403


def test_a_page_without_an_origin_is_refused_and_a_client_without_a_host_is_not() -> None:
    assert ask(HERE, (b"host", b"localhost"), (b"origin", b"null")) == 403
    assert ask(HERE) == 200  # HTTP/1.0: no browser


def test_who_stands_behind_a_proxy_says_its_names_and_others_answer_to_any() -> None:
    assert ask(names_of("127.0.0.1", ("models.example.org",)), (b"host", b"Models.example.org:443")) == 200
    assert ask(names_of("127.0.0.1", ("models.example.org",)), (b"host", b"localhost")) == 403
    assert ask(names_of(EVERYWHERE, ("models.example.org",)), (b"host", b"evil.example")) == 403
    assert ask(names_of("::1", ()), (b"host", b"evil.example")) == 403
    assert ask(names_of("127.0.0.3", ()), (b"host", b"127.0.0.3")) == 200
    for names in (names_of(EVERYWHERE, ()), names_of("::", ()), names_of("127.0.0.1", ("*",))):
        assert names is None
