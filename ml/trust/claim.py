"""Which release a run has: the first manifest that was made of it, claimed in the store before it is published.

A claim is signed, as what it claims is: `mlops release` goes on where an earlier one was killed, and would put its own
signature under whatever somebody without a key had laid there.
"""

from typing import Literal

from pydantic import ValidationError

from ml.bundle.bundle import canonical
from ml.bundle.manifest import Manifest
from ml.store import Store
from ml.trust.keys import Signer, TrustedKeys
from ml.trust.signed import Statement

__all__ = ["claim", "claimed"]


class _Claim(Statement):
    """The canonical text of a run's manifest."""

    kind: Literal["claim"] = "claim"
    manifest: str


def claim(store: Store, run_id: str, manifest: Manifest, signer: Signer, trusted: TrustedKeys) -> Manifest:
    """The one manifest of the run: the first that somebody known claimed, unless it was of other files."""
    mine = _Claim(manifest=canonical(manifest).decode()).signed(signer)
    try:
        store.create(_key(run_id), mine.data)
        return manifest
    except FileExistsError:
        earlier = _read(store, run_id)
    first = _manifest(earlier.manifest) if earlier and earlier.author(trusted) else None
    if first and (first.tracking_run, first.files) == (manifest.tracking_run, manifest.files):
        return first
    store.write(_key(run_id), mine.data)
    return manifest


def claimed(store: Store, run_id: str) -> Manifest | None:
    """What the run's claim says, None where there is none that can be read; whether it may be believed it can't say."""
    if not store.exists(_key(run_id)):
        return None
    found = _read(store, run_id)
    return _manifest(found.manifest if found else store.read(_key(run_id)))  # before claims were signed: a manifest


def _read(store: Store, run_id: str) -> _Claim | None:
    try:
        return _Claim.model_validate_json(store.read(_key(run_id)))
    except ValidationError:
        return None


def _manifest(text: str | bytes) -> Manifest | None:
    try:
        return Manifest.model_validate_json(text)
    except ValidationError:
        return None


def _key(run_id: str) -> str:
    return f"releases/{run_id}.json"
