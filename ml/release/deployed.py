"""Record in an environment's ledger which release its endpoint serves, once per change."""

from pathlib import Path

from ml.store import Store
from ml.trust.history import serving
from ml.trust.keys import TrustedKeys, signer
from ml.trust.ledger import Ledger, LedgerCut

__all__ = ["newest", "record_deployed", "record_undeployed"]


def record_deployed(store_uri: str, stack: str, environment: str, release: str, url: str, root: Path) -> str:
    """Record that the endpoint at `url` serves a release, unless that was the last that was said; the ledger's head.

    It is also said again where the last was signed with a key that counts no more.
    """
    store = Store(store_uri)
    me = signer(store, root=root)
    ledger = Ledger(store, stack, environment, TrustedKeys.of(store, root))
    said = [serving(ledger.entries()), serving(ledger.chain())]
    if any(each is None or (each.release, each.details.get("url")) != (release, url) for each in said):
        ledger.append("deployed", me, release, {"url": url})
    return str(ledger.chain()[-1].head)


def newest(store_uri: str, stack: str, environment: str, root: Path) -> str | None:
    """The head of a stack's ledger, None while it is empty."""
    store = Store(store_uri)
    chain = Ledger(store, stack, environment, TrustedKeys.of(store, root)).chain()
    return str(chain[-1].head) if chain else None


def record_undeployed(store_uri: str, stack: str, environment: str, root: Path) -> None:
    """Record that nothing serves any more, if something did; nothing is written behind a ledger that lost its end."""
    store = Store(store_uri)
    ledger = Ledger(store, stack, environment, TrustedKeys.of(store, root))
    try:
        said = [serving(ledger.entries()), serving(ledger.chain())]
    except LedgerCut:  # whoever empties a store first must still be able to take its stack away
        return
    if current := next(filter(None, said), None):
        ledger.append("undeployed", signer(store, root=root), current.release)
