"""The engine's part in a stack's life, in this process: it compares with what it knows, asks the provider, keeps that.

What is the engine's own (its command line, locks, plugins, secrets, resuming after it was killed) is tested with the
real one, in tests/engine. Here a life takes seconds, so that every stack lives one.
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.simulation.account import Thing
from infra.simulation.faults import Fails, Fault, Faults
from infra.simulation.wire import UNKNOWN
from infra.simulation.world import World
from tests.planned import DIGEST, RUN, Monitor, compose

__all__ = ["Fails", "Protected", "SmallEngine"]

Properties = dict[str, Any]


class Protected(Exception):
    """What the engine says when a protected resource would go."""


@dataclass(frozen=True)
class Kept:
    """A resource in the engine's state."""

    type: str
    id: str
    inputs: Properties
    outputs: Properties
    is_protected: bool


@dataclass
class SmallEngine:
    """One stack, its state and its account; `faults` strike in the next run."""

    stack: str
    folder: Path
    state: dict[str, Kept] = field(default_factory=dict[str, Kept])  # urn → resource, in the order of their creation
    faults: tuple[Fault, ...] = ()

    def up(self, *, preview: bool = False, released: str | None = DIGEST, **values: Any) -> dict[str, set[str]]:
        """Run the program and do what it takes: operation → names. Fails, Refused or Protected where it ends early."""
        run = _Run(self, preview=preview)
        try:
            compose(run, released=released, **values)
        except Exception as error:  # the SDK ends with any one of those that failed, or with what one's failure led to
            raise (run.failure or error).with_traceback(None) from None  # of a thousand frames of the SDK's
        run.remove_what_is_left()
        return run.done

    def refresh(self) -> set[str]:
        """Take over how things are now: the names of those that differ."""
        run, changed = _Run(self, preview=False), set[str]()
        for urn, kept in list(self.state.items()):
            if run.is_simulated(kept.type):
                found = run.operation(kept.type, urn).read(kept.id, kept.outputs, kept.inputs)
                if found is None:
                    del self.state[urn]
                elif found[0] != kept.inputs:
                    self.state[urn] = Kept(kept.type, kept.id, *found, kept.is_protected)
                else:
                    continue
                changed.add(_name(urn))
        return changed

    def destroy(self) -> None:
        """End everything, the newest first; Protected, and nothing ends, where something is."""
        if protected := sorted(_name(urn) for urn, kept in self.state.items() if kept.is_protected):
            raise Protected(", ".join(protected))
        run = _Run(self, preview=False)
        for urn in reversed(list(self.state)):
            run.delete(urn, self.state.pop(urn))

    def unprotect(self) -> None:
        """As `pulumi state unprotect --all`."""
        self.state = {u: Kept(k.type, k.id, k.inputs, k.outputs, is_protected=False) for u, k in self.state.items()}

    def things(self) -> list[Thing]:
        """What exists in the account."""
        return World(self.folder, Faults([])).account(self.stack, RUN).things()

    def change_by_hand(self, type_: str, **inputs: Any) -> str:
        """Change the first thing of a type, beside the engine: its name."""
        account = World(self.folder, Faults([])).account(self.stack, RUN)
        thing = next(each for each in account.things() if each.type == type_)
        thing.inputs |= inputs
        account.put(thing)
        return _name(thing.urn)


class _Run(Monitor):
    """One run of the program against the state."""

    def __init__(self, engine: SmallEngine, *, preview: bool) -> None:
        super().__init__(engine.stack, engine.folder, preview=preview)
        self.world.faults.replace(list(engine.faults))
        self.engine = engine
        self.done: dict[str, set[str]] = {}
        self.failure: Exception | None = None
        self._registered: set[str] = set()
        self._replaced: list[tuple[str, Kept]] = []
        self._alone = threading.RLock()
        for kept in engine.state.values():
            if kept.type.startswith("pulumi:providers:"):
                self.configure(kept.type, kept.inputs)

    def _make(self, urn: str, request: Any, given: Properties) -> tuple[str, Properties]:
        """One after the other; after a failure nothing more is begun."""
        with self._alone:
            if self.failure:
                raise Fails("another resource has failed")
            try:
                return self._registration(urn, request, given)
            except Exception as error:
                self.failure = error
                raise

    def _registration(self, urn: str, request: Any, given: Properties) -> tuple[str, Properties]:
        self._registered.add(urn)
        before = self.engine.state.get(urn)
        if before:
            given |= {name: before.inputs[name] for name in request.ignoreChanges if name in before.inputs}
        if not self.is_simulated(request.type) or not request.custom:
            made = super()._make(urn, request, given)
            changed = before is not None and before.inputs != given
            what = "create" if before is None else "update" if changed else "same"
        else:
            given = self.checked(request.type, urn, before.inputs if before else {}, given)
            what, made = self._compared(urn, request.type, before, given)
        self.done.setdefault(what, set()).add(request.name)
        if not self.preview:
            self.engine.state[urn] = Kept(request.type, made[0], given, made[1], request.protect)
        return made

    def _compared(self, urn: str, type_: str, before: Kept | None, given: Properties) -> tuple[str, Any]:
        if before is None:
            return "create", self.create(type_, urn, given)
        operation = self.operation(type_, urn)
        found = operation.diff(before.inputs, given, before.outputs, set())
        if not found.changes:
            return "same", (before.id, before.outputs)
        if not found.forcing:
            return "update", (before.id, operation.update(before.id, before.outputs, given, frozenset()))
        if before.is_protected:
            raise Protected(f"{_name(urn)} is protected and would be replaced, for {', '.join(found.forcing)}")
        if self.preview:
            return "replace", ("", dict.fromkeys(before.outputs, UNKNOWN) | given)
        if found.delete_first:
            self.delete(urn, before)
        else:
            self._replaced.append((urn, before))
        return "replace", self.create(type_, urn, given, seed=f" after {before.id}")

    def remove_what_is_left(self) -> None:
        """What the program no longer wants, and what was replaced, the newest first."""
        left = [(urn, kept) for urn, kept in self.engine.state.items() if urn not in self._registered]
        if protected := [_name(urn) for urn, kept in left if kept.is_protected]:
            raise Protected(f"{', '.join(protected)} would be deleted")
        self.done |= {"delete": {_name(urn) for urn, _ in left}} if left else {}
        if not self.preview:
            for urn, kept in reversed([*left, *self._replaced]):
                self.delete(urn, kept)
            for urn, _ in left:
                del self.engine.state[urn]

    def delete(self, urn: str, kept: Kept) -> None:
        if self.is_simulated(kept.type):
            self.operation(kept.type, urn).delete(kept.id, kept.outputs)


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]
