"""Record in an environment's ledger which release its endpoint serves, once per change."""

from pathlib import Path

from ml.release.history import serving
from ml.release.keys import TrustedKeys, signer
from ml.release.ledger import Ledger
from ml.store import Store

__all__ = ["record_deployed", "record_undeployed"]


def record_deployed(store_uri: str, stack: str, environment: str, release: str, url: str, root: Path) -> None:
    """Record that the endpoint at `url` serves a release, unless that was the last that was said."""
    store = Store(store_uri)
    me = signer(store, root=root)
    ledger = Ledger(store, stack, environment, TrustedKeys.of(store, root))
    current = serving(ledger.entries())
    if current is None or (current.release, current.details.get("url")) != (release, url):
        ledger.append("deployed", me, release, {"url": url})


def record_undeployed(store_uri: str, stack: str, environment: str, root: Path) -> None:
    """Record that nothing serves any more, if something did."""
    store = Store(store_uri)
    ledger = Ledger(store, stack, environment, TrustedKeys.of(store, root))
    if current := serving(ledger.entries()):
        ledger.append("undeployed", signer(store, root=root), current.release)
