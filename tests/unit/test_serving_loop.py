"""The server's event loop takes in everybody who waits, however long its rounds are."""

import asyncio
import socket
from typing import ClassVar

from ml.http.loop import Acceptor, Loop

CLIENTS = 50


class _Rounds(asyncio.Protocol):
    """Counts in which round of the loop a connection was made."""

    made: ClassVar[list[int]] = []
    now: ClassVar[int] = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made.append(_Rounds.now)
        transport.close()


async def _rounds_of(loop: asyncio.AbstractEventLoop, listener: socket.socket) -> list[int]:
    server = await loop.create_server(_Rounds, sock=listener)

    def turn() -> None:
        _Rounds.now += 1
        loop.call_soon(turn)

    turn()
    clients = [socket.create_connection(listener.getsockname()) for _ in range(CLIENTS)]
    while len(_Rounds.made) < CLIENTS:
        await asyncio.sleep(0)
    server.close()
    await server.wait_closed()
    for client in clients:
        client.close()
    return _Rounds.made


def test_all_who_wait_come_in_within_a_few_rounds() -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as listener,
        asyncio.Runner(loop_factory=Loop) as runner,
    ):
        made = runner.run(_rounds_of(runner.get_loop(), listener))
    assert max(made) - min(made) < CLIENTS / 5  # uvloop itself takes a round for each


def test_a_connection_is_made_in_the_round_after_it_is_taken_in() -> None:
    """Each round more is one in which everybody else is read, before a probe is."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(_Rounds, sock=listener)
            assert isinstance(server, Acceptor)
            before = len(_Rounds.made)
            with socket.create_connection(listener.getsockname()):
                server._accept()
                await asyncio.sleep(0)
                assert len(_Rounds.made) == before + 1
            server.close()
            await server.wait_closed()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(scenario())


def test_a_closed_server_accepts_nobody() -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = await asyncio.get_running_loop().create_server(_Rounds, sock=listener)
            server.close()
            server.close()
            await server.wait_closed()
            before = len(_Rounds.made)
            with socket.create_connection(listener.getsockname()):
                for _ in range(20):
                    await asyncio.sleep(0)
            assert len(_Rounds.made) == before

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(scenario())
