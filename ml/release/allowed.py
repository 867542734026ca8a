"""Whether a release may serve in an environment, as its ledger says: for what serves it, and what watches that."""

from dataclasses import dataclass
from datetime import UTC, datetime

from ml.problem import load_problem
from ml.release.policy import PREVIOUS, Rules, require_deployable
from ml.store import Store
from ml.trust.history import last, serving
from ml.trust.keys import TrustedKeys
from ml.trust.ledger import Ledger

__all__ = ["Place", "deployed", "require_allowed"]


@dataclass(frozen=True)
class Place:
    """The stack whose ledger decides, its environment, and how many approvals that demands."""

    stack: str
    environment: str
    approvals_required: int = 0

    @property
    def rules(self) -> Rules:
        """What the environment demands of a release."""
        return Rules(self.environment, PREVIOUS.get(self.environment), self.approvals_required, load_problem())

    def ledger(self, store: Store) -> Ledger:
        """The stack's ledger, compared with what this machine saw of it."""
        trusted = TrustedKeys.of(store)
        return Ledger(store, self.stack, self.environment, trusted, quorum=self.approvals_required + 1)


def require_allowed(store: Store, ledger: Ledger, rules: Rules, release: str) -> None:
    """ReleaseRefused for a release that the ledger doesn't allow to serve.

    What was deployed is judged as of then: a server that starts again must not be ended by the calendar.
    """
    before = last(ledger.entries(), release, "deployed")
    require_deployable(store, ledger, release, rules, before.at if before else datetime.now(UTC))


def deployed(ledger: Ledger) -> str | None:
    """The release that the ledger says serves, None where none does."""
    newest = serving(ledger.chain())
    return newest.release if newest else None
