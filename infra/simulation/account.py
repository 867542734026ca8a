"""What exists in a simulated account: one file a stack, kept between runs; what a preview plans lies over it."""

import fcntl
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from infra.simulation.paths import value_at
from infra.simulation.wire import is_unknown

__all__ = ["DELETED", "PLACES", "Account", "Thing"]

PLACES = re.compile(r"\{(.+?)\}")
DELETED = " (deleted)"  # ends the type of what is deleted and still keeps its name


class Thing(msgspec.Struct):
    """One resource that exists, or is planned."""

    type: str
    id: str
    urn: str
    region: str
    account: str  # its number
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    seed: str  # generated ids are derived from it
    returned: dict[str, Any] = {}  # what moto's server has decided, ids above all
    revision: int = 1  # how often it was made or changed
    secrets: list[str] = []  # the names of properties of which only a hash is kept

    def get(self, name: str) -> Any:
        """An output or input, `metadata.name` as well; `id` is the id, `{group}/{name}` both, None where one lacks."""
        if name == "id":
            return self.id
        if "{" in name:
            parts = [self.get(part) for part in PLACES.findall(name)]
            known = all(isinstance(part, str | int | float) and not is_unknown(part) for part in parts)
            return PLACES.sub(lambda _: str(parts.pop(0)), name) if known else None
        if "." in name:
            return value_at(self.inputs | self.outputs, name)
        return self.outputs.get(name, self.inputs.get(name))

    @property
    def label(self) -> str:
        """How a sentence calls it."""
        return f"{self.type} {self.urn.rpartition('::')[2]!r}"


THINGS = msgspec.json.Decoder(list[Thing])  # made before threads: see infra/simulation/schema/cache.py


class Account:
    """The things of one stack. `planned` are those of a preview: they are seen by it and never kept."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.planned: dict[str, Thing] = {}
        self._things: dict[str, Thing] = {}
        self._read_at: tuple[int, int] | None = None

    def things(self) -> list[Thing]:
        """All that exists and is planned."""
        return [*(self._current() | self.planned).values()]

    def find(self, type_: str, identifier: str, region: str) -> Thing | None:
        """The thing with this id."""
        return self._current().get(_key(type_, identifier, region))

    def put(self, thing: Thing) -> None:
        """Create or change it."""
        with self._changing() as things:
            things.pop(_key(f"{thing.type}{DELETED}", thing.id, thing.region), None)  # it is recovered
            things[_key(thing.type, thing.id, thing.region)] = thing

    def plan(self, thing: Thing) -> None:
        """Let the preview see it."""
        self.planned[_key(thing.type, thing.id, thing.region)] = thing

    def remove(self, thing: Thing, *, lingers: bool = False) -> None:
        """Delete it; nothing happens when it is gone already. One that lingers keeps its name."""
        with self._changing() as things:
            things.pop(_key(thing.type, thing.id, thing.region), None)
            if lingers:
                left = msgspec.structs.replace(thing, type=f"{thing.type}{DELETED}", urn=f"{thing.urn}{DELETED}")
                things[_key(left.type, left.id, left.region)] = left

    @contextmanager
    def _changing(self) -> Generator[dict[str, Thing]]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the command line may change things while an engine runs
            things = self._current()
            yield things
            temporary = self.file.with_suffix(".new")
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode([*things.values()]), indent=1))
            temporary.replace(self.file)
            self._read_at = self._stamp()

    def _current(self) -> dict[str, Thing]:
        if (stamp := self._stamp()) != self._read_at:
            listed = THINGS.decode(self.file.read_bytes()) if stamp else []
            self._things = {_key(thing.type, thing.id, thing.region): thing for thing in listed}
            self._read_at = stamp
        return self._things

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = self.file.stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino


def _key(type_: str, identifier: str, region: str) -> str:
    return f"{type_} {region} {identifier}"
