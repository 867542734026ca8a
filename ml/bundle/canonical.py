"""The one JSON text of a value, and the digest of bytes: what releases, signatures and the ledger agree on."""

import hashlib
import json

__all__ = ["canonical_json", "sha256"]


def canonical_json(value: object) -> bytes:
    """Sorted keys, no spaces, UTF-8; ValueError for a number that JSON doesn't have."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(data: bytes) -> str:
    """`sha256:` and the 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
