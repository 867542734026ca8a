"""One environment as releases see it: its store, its ledger and its stack file."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import JsonValue

from ml.problem import load_problem
from ml.release.policy import PREVIOUS, Rules
from ml.release.stackfile import stack_file, state_head, stated_head
from ml.runtime import Runtime
from ml.store import Store
from ml.trust.entry import Entry, Event
from ml.trust.keys import Signer, TrustedKeys, signer
from ml.trust.ledger import Ledger
from ml.trust.witness import Head, heads

__all__ = ["Stage", "ledger_of"]


def ledger_of(runtime: Runtime, root: Path | None = None, stated: Head | None = None) -> Ledger:
    """The ledger that a stack's outputs lead to, compared with the heads that they and its file state."""
    store = Store(runtime.store_uri)
    known = (*heads([(runtime.ledger_head, f"the engine's state of {runtime.stack}")]), stated)
    trusted, quorum = TrustedKeys.of(store, root), runtime.approvals_required + 1
    return Ledger(store, runtime.stack, runtime.environment, trusted, known, quorum)


@dataclass(frozen=True)
class Stage:
    """`serves` is the release that the stack's endpoint was last seen to serve; `root` is the checkout.

    `runtime` is all that the stack's outputs say, None where there are none.
    """

    stack: str
    environment: str
    store: Store
    file: Path
    ledger: Ledger
    serves: str | None = None
    root: Path | None = None
    runtime: Runtime | None = None

    @classmethod
    def load(cls, stack: str) -> Self:
        """The stage of a stack that is up; its file is checked before the engine is asked for its outputs."""
        file = stack_file(stack)
        return cls.of(Runtime.load(stack), file)

    @classmethod
    def of(cls, runtime: Runtime, file: Path, root: Path | None = None) -> Self:
        """The stage that a stack's outputs describe."""
        ledger = ledger_of(runtime, root, stated_head(file))
        store = Store(runtime.store_uri)
        return cls(runtime.stack, runtime.environment, store, file, ledger, runtime.release, root, runtime)

    @property
    def trusted(self) -> TrustedKeys:
        """Whose signatures count here."""
        return self.ledger.trusted

    @property
    def rules(self) -> Rules:
        """What the environment demands of a release."""
        approvals = self.runtime.approvals_required if self.runtime else 0
        return Rules(self.environment, PREVIOUS.get(self.environment), approvals, load_problem())

    def append(
        self, event: Event, signer: Signer, release: str | None = None, details: Mapping[str, JsonValue] | None = None
    ) -> Entry:
        """Record what happened, and state in the stack's file that the ledger goes so far."""
        entry = self.ledger.append(event, signer, release, details)
        state_head(self.file, entry.head)
        return entry

    def seal(self, given_up: Collection[Head] = ()) -> None:
        """State in the stack's file how far the ledger goes, after others have written to it."""
        if chain := self.ledger.chain():
            state_head(self.file, chain[-1].head, given_up)

    def signer(self, name: str | None = None) -> Signer:
        """Who signs here: `name`, by default this user."""
        found = signer(self.store, name, self.root)
        self.trusted.add(found.public)  # it may have been made just now
        return found
