"""All accounts of a simulation, one a stack, and what each engine run has planned in them."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.simulation.account import Account, Thing
from infra.simulation.faults import Faults
from infra.simulation.settings import Settings

if TYPE_CHECKING:
    from infra.simulation.mirror import Moto

__all__ = ["Connection", "World"]


@dataclass
class Connection:
    """One provider instance of one engine run: the engine gives each its own connection."""

    run: str
    settings: Settings | None = None


class World:
    """The folder that holds a file for each stack."""

    def __init__(self, folder: Path, faults: Faults, moto: "Moto | None" = None) -> None:
        self.folder = folder
        self.faults = faults
        self.moto = moto  # None: nothing is really made
        self.lock = threading.RLock()
        self._accounts: dict[tuple[str, str], Account] = {}
        self._connections: dict[str, Connection] = {}

    def connect(self, peer: str, run: str) -> None:
        """A provider instance introduces itself: the run is its engine's address."""
        self._connections[peer] = Connection(run)

    def connection(self, peer: str) -> Connection:
        """What is known of who is asking."""
        return self._connections.setdefault(peer, Connection(peer))

    def account(self, stack: str, run: str) -> Account:
        """The stack's account as this run sees it."""
        if (stack, run) not in self._accounts:
            self._accounts[stack, run] = Account(self.folder / f"{stack}.json")
        return self._accounts[stack, run]

    def elsewhere(self, stack: str) -> list[Thing]:
        """The things of all other stacks: of the same account, or where names are unique in the world."""
        others = sorted(self.folder.glob("*.json")) if self.folder.exists() else []
        return [thing for file in others if file.stem != stack for thing in self.account(file.stem, "").things()]

    def inside(self, account: str, run: str) -> list[Thing]:
        """All things of the account with this number, and what this run has planned."""
        planned = [thing for (_, r), a in list(self._accounts.items()) if r == run for thing in a.planned.values()]
        return [each for each in (*self.elsewhere(""), *planned) if each.account == account]
