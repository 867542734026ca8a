"""One environment as releases see it: its store, its ledger and its stack file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ml.release.keys import Signer, TrustedKeys, signer
from ml.release.ledger import Ledger
from ml.release.stackfile import stack_file
from ml.runtime import Runtime
from ml.store import Store

__all__ = ["Stage"]


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
        store = Store(runtime.store_uri)
        ledger = Ledger(store, runtime.stack, runtime.environment, TrustedKeys.of(store, root))
        return cls(runtime.stack, runtime.environment, store, file, ledger, runtime.release, root, runtime)

    @property
    def trusted(self) -> TrustedKeys:
        """Whose signatures count here."""
        return self.ledger.trusted

    def signer(self, name: str | None = None) -> Signer:
        """Who signs here: `name`, by default this user."""
        found = signer(self.store, name, self.root)
        self.trusted.add(found.public)  # it may have been made just now
        return found
