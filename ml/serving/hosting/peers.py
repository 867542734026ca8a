"""The workers of one server, as each sees the others: a socket each in a folder that only they can open.

A new release is loaded by all of them before any of them serves it, and the swap is reported when the last one does.
What they serve then stands in `deployment.json` in their folder, which is what a worker that is started again loads:
the file that people write may state something else by then.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from ml.serving.deployment import Deployment, stated

__all__ = ["Answer", "Peers"]

SUFFIX: Final = ".sock"
SWAP_TIMEOUT_S: Final = 110.0
STATE_TIMEOUT_S: Final = 3.0
POLL_S: Final = 0.02
MAXIMUM_LINE: Final = 1024 * 1024

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

log = logging.getLogger(__name__)


class Peers:
    """This worker's socket, and the other workers'."""

    def __init__(self, folder: Path) -> None:
        self.committed = folder / "deployment.json"
        self.metrics = folder / "metrics"
        self._folder = folder
        self._own = folder / f"{os.getpid()}{SUFFIX}"
        self._server: asyncio.Server | None = None

    async def listen(self, answer: Answer) -> None:
        """Answer the others' questions from now on."""

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer):
                try:
                    said = await answer(msgspec.json.decode(await reader.readline()))
                except Exception as error:  # it is the asker who says it
                    said = {"error": str(error)}
                writer.write(msgspec.json.encode(said) + b"\n")
                await writer.drain()

        self._own.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(one, self._own, limit=MAXIMUM_LINE)

    def close(self) -> None:
        """Answer no more."""
        self._own.unlink(missing_ok=True)
        if self._server is not None:
            self._server.close()

    async def states(self) -> list[dict[str, Any]]:
        """What each of the others says of itself."""
        return list((await self._ask({"do": "state"}, STATE_TIMEOUT_S)).values())

    async def prepare(self, deployment: Deployment) -> list[str]:
        """Have the others load it; what went wrong, a sentence each."""
        said = await self._ask({"do": "prepare", "deployment": deployment}, SWAP_TIMEOUT_S)
        return [answer["error"] for answer in said.values() if "error" in answer]

    async def abort(self) -> None:
        """Have the others forget what they loaded."""
        await self._ask({"do": "abort"}, STATE_TIMEOUT_S)

    async def commit(self, deployment: Deployment) -> None:
        """Have every other worker serve it, also one that came meanwhile; one that doesn't say so is ended."""
        temporary = self.committed.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(msgspec.json.encode(deployment))
        os.replace(temporary, self.committed)
        for pid, answer in (await self._ask({"do": "commit", "deployment": deployment}, SWAP_TIMEOUT_S)).items():
            if "error" in answer:
                log.error("Worker %d does not serve %s and is ended: %s", pid, deployment.release, answer["error"])
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def agree(self, deployment: Deployment) -> Deployment:
        """What all serve: this, unless another worker was first to load something else."""
        temporary = self.committed.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(msgspec.json.encode(deployment))
        try:
            os.link(temporary, self.committed)
        except FileExistsError:
            return stated(self.committed) or deployment
        finally:
            temporary.unlink()
        return deployment

    @contextlib.asynccontextmanager
    async def swapping(self) -> AsyncGenerator[None]:
        """One swap at a time, whichever worker was asked for it."""
        with (self._folder / "swap.lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(POLL_S)
            yield

    async def _ask(self, request: dict[str, Any], timeout_s: float) -> dict[int, dict[str, Any]]:
        others = [file for file in self._folder.glob(f"*{SUFFIX}") if file != self._own]
        line = msgspec.json.encode(request) + b"\n"
        answers = await asyncio.gather(*(_ask_one(file, line, timeout_s) for file in others))
        return {int(file.stem): said for file, said in zip(others, answers, strict=True) if said is not None}


async def _ask_one(file: Path, line: bytes, timeout_s: float) -> dict[str, Any] | None:
    """What a worker answers, None for one that is gone."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(file, limit=MAXIMUM_LINE)
            with contextlib.closing(writer):
                writer.write(line)
                return msgspec.json.decode(await reader.readline(), type=dict[str, Any])
    except TimeoutError:
        return {"error": f"it did not answer within {timeout_s:g} s"}
    except ConnectionRefusedError:
        file.unlink(missing_ok=True)  # it was killed
        return None
    except (OSError, msgspec.DecodeError):
        return None
