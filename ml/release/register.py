"""Vouch for a new release: its signature in the store, and in the ledger that it was made and passed its gates."""

from pydantic import JsonValue

from ml.bundle.bundle import canonical, digest_of
from ml.bundle.manifest import Manifest
from ml.store import Store
from ml.trust.history import last, passing_gate
from ml.trust.keys import Signer
from ml.trust.ledger import Ledger
from ml.trust.signing import sign

__all__ = ["register", "sign_manifest"]


def sign_manifest(store: Store, ledger: Ledger, manifest: Manifest, signer: Signer) -> None:
    """Sign a release; done before it is published, so that no unsigned release is ever whole in a store."""
    sign(store, canonical(manifest), signer, ledger.trusted)


def register(ledger: Ledger, manifest: Manifest, signer: Signer) -> None:
    """Record a published release, once, with the result of its gates."""
    digest = digest_of(manifest)
    entries = ledger.entries()
    if last(entries, digest, "registered") is None:
        details: dict[str, JsonValue] = {"name": manifest.name, "version": manifest.version}
        ledger.append("registered", signer, digest, details | {"created_by": manifest.created_by})
    if passing_gate(entries, digest) is None:
        gates: list[JsonValue] = [gate.model_dump(mode="json", exclude_none=True) for gate in manifest.gates]
        ledger.append("gated", signer, digest, {"passed": manifest.passed, "checks": gates})
