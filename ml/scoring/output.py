"""The output of a scoring: parts that are written one by one beside it, and published when all are there.

Until then a reader finds nothing at the output. Everything below `_progress` says which parts are done, so that the
next process goes on where this one was killed: a part has one name and one content, whoever writes it how often.
"""

import hashlib
import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from ml.errors import InputRefused
from ml.scoring.source import Part
from ml.scratch import scratch_folder
from ml.store import UNFINISHED, Store

__all__ = ["ASIDE", "RESULT_FILE", "Done", "Output", "Plan", "Published"]

RESULT_FILE: Final = "_scoring.json"
PROGRESS: Final = "_progress"
ASIDE: Final = "_aside"
PLAN_FILE: Final = f"{PROGRESS}/plan.json"


class Plan(msgspec.Struct, frozen=True):
    """What is scored by which release in which parts: two processes that agree on it do the same."""

    release: str
    input: str
    format: str
    version: int | None
    identifiers: dict[str, str]
    parts: tuple[Part, ...]

    @property
    def digest(self) -> str:
        """The SHA-256 of all that."""
        return f"sha256:{hashlib.sha256(msgspec.json.encode(self)).hexdigest()}"


class Done(msgspec.Struct, frozen=True):
    """A part that is finished: its rows, and how many of them were set aside."""

    number: int
    rows: int
    aside: int


class Published(msgspec.Struct, frozen=True):
    """What the output says of itself; nothing in it depends on when or how often it was interrupted."""

    release: str
    model: str
    version: str
    threshold: float
    outcomes: dict[str, str]
    input: str
    format: str
    input_version: int | None
    identifiers: dict[str, str]
    rows: int
    scored: int
    aside: int
    parts: int
    plan: str


class Output:
    """One output: `uri` names a folder or a prefix that isn't there yet."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/") if "://" in uri else str(Path(uri).absolute())
        parent, _, name = self.uri.rpartition("/")
        if not name or parent.endswith(("/", ":")) or name.startswith(("_", ".")):
            raise InputRefused(
                f"The output {uri!r} must be a folder in another one, and readers pass over _ and . names."
            )
        self._parent = Store(parent)
        self._final_key, self._work_key = name, f".{name}.scoring"
        self._final, self._work = Store(self.uri), Store(f"{parent}/{self._work_key}")

    @property
    def unfinished_uri(self) -> str:
        """Where the parts are until they are published."""
        return self._work.uri

    def published(self) -> Published | None:
        """What is at the output; InputRefused where something else is there than a whole scoring."""
        self._final.filesystem.invalidate_cache()  # other workers write too
        if self._final.exists(RESULT_FILE):
            return msgspec.json.decode(self._final.read(RESULT_FILE), type=Published)
        if not self._work.exists(RESULT_FILE) and next(self._final.list(), None) is not None:
            raise InputRefused(f"{self.uri} holds something already. Name another output, or delete it.")
        return None

    def stated_version(self) -> int | None:
        """The version of the Delta table that an unfinished scoring is of."""
        plan = self._plan()
        return plan.version if plan else None

    def begin(self, plan: Plan, *, restart: bool) -> None:
        """Say what is done here; InputRefused when what is unfinished here is something else, unless `restart`."""
        if restart:
            self._parent.delete(self._work_key)
        if (before := self._plan()) is None:
            with suppress(FileExistsError):  # another worker was faster
                self._work.create(PLAN_FILE, msgspec.json.encode(plan))
            before = self._plan()
        if before is None or msgspec.json.encode(before) != msgspec.json.encode(plan):
            names = [name for name in plan.__struct_fields__ if before and getattr(before, name) != getattr(plan, name)]
            raise InputRefused(
                f"An unfinished scoring of something else is in {self.unfinished_uri}: it differs in "
                f"{', '.join(names)}. Finish it with its own input and options, name another output, or drop it with "
                "--restart."
            )
        if self._work.is_folder:
            Path(self._work.path(ASIDE)).mkdir(exist_ok=True)

    def done(self) -> dict[int, Done]:
        """The parts that are finished, by number."""
        self._work.filesystem.invalidate_cache()
        keys = [key for key in self._work.list(PROGRESS) if key != PLAN_FILE]
        records = (msgspec.json.decode(self._work.read(key), type=Done) for key in keys)
        return {record.number: record for record in records}

    @contextmanager
    def writing(self, name: str) -> Generator[Path]:
        """A local file to write a part to; it is there as a whole when the block ends without an error."""
        if not self._work.is_folder:
            with scratch_folder() as folder:
                yield folder / "part"
                self._work.filesystem.put_file(str(folder / "part"), self._work.path(name))
            return
        target = Path(self._work.path(name))
        temporary = target.with_name(f"{UNFINISHED}{uuid.uuid4().hex}")
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def finish(self, done: Done) -> None:
        """Remember that a part is there."""
        self._work.write(f"{PROGRESS}/{done.number:06}.json", msgspec.json.encode(done))

    def publish(self, result: Published) -> None:
        """Bring the parts to the output: a folder appears as a whole; elsewhere RESULT_FILE comes last.

        Safe to repeat after a kill at any point, and to be done by several workers at once.
        """
        try:
            with self.writing(RESULT_FILE) as file:
                file.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
            self._parent.delete_unfinished(self._work_key, datetime.now(UTC))
            self._move()
        except OSError:
            if not self._final.exists(RESULT_FILE):
                raise  # otherwise another worker was faster
        self.tidy()

    def tidy(self) -> None:
        """Remove what only an unfinished scoring needs."""
        self._final.delete(PROGRESS)
        self._parent.delete(self._work_key)

    def _move(self) -> None:
        if self._final.is_folder:
            with suppress(OSError):  # it holds something
                Path(self._work.path(ASIDE)).rmdir()
            os.rename(self._parent.path(self._work_key), self._parent.path(self._final_key))  # noqa: PTH104 # see PTH105
            return
        keys = [key for key in self._work.list() if key != RESULT_FILE and not key.startswith(PROGRESS)]
        for key in [*keys, RESULT_FILE]:
            with suppress(FileNotFoundError):  # another worker moved it
                self._final.filesystem.mv(self._work.path(key), self._final.path(key))

    def _plan(self) -> Plan | None:
        return msgspec.json.decode(self._work.read(PLAN_FILE), type=Plan) if self._work.exists(PLAN_FILE) else None
