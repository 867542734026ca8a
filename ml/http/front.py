"""The seam between sockets and an application: ASGI, and the little that our own connection knows beyond it.

An application is whole without any of it: uvicorn's own HTTP serves the same one, through tasks and messages. What
stands here is what our connection asks of uvicorn's server, what it offers to an application that can answer at once,
and what it writes into a request's `state` (WHOLE as well).
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

from ml.http.answers import WHOLE, Response, Scope

__all__ = ["OBSERVE", "SPARE", "WHOLE", "Front", "Quick", "Reply", "Server"]

Front = Literal["own", "uvicorn"]  # who reads HTTP: ml.http.connection, or uvicorn's httptools as it comes

OBSERVE: Final = "observe_refusal"  # in lifespan's state: who counts the refusals that never reached the application
SPARE: Final = "is_spare"  # in a request's state: its connection is past the limit, and has health and metrics only

Reply = Callable[[Response, str], None]  # an answer with its request id, at once


class Quick(Protocol):
    """What an application may have as `quick`: whether it takes a whole request without a task, and replies itself."""

    def __call__(self, scope: Scope, body: bytes, reply: Reply, /) -> bool:
        """Whether it is taken; `reply` is then called in this round of the event loop."""
        ...


class Server(Protocol):
    """What uvicorn's server keeps of its connections, whatever protocol they have."""

    connections: set[Any]
    tasks: set[asyncio.Task[None]]
    total_requests: int
    default_headers: list[tuple[bytes, bytes]]
