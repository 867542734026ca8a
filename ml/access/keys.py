"""API keys: a file of names and hashes. A key is shown once, when it is made, and is nowhere kept.

A key is 256 random bits, so that its SHA-256 tells nothing of it and checking it costs microseconds; slow hashes are
for passwords, which people choose. Several keys are valid at once: to rotate one, add another and revoke the old one.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from ml.errors import InputRefused

__all__ = ["KEY_VARIABLE", "ApiKey", "ApiKeys", "add_key", "own_headers", "read_keys", "revoke_key"]

KEY_VARIABLE: Final = "MLOPS_API_KEY"
PREFIX: Final = "mlops_"  # by which scanners for leaked secrets know one
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
MAXIMUM_BYTES: Final = 1024 * 1024
LOOKED_AT_EVERY_S: Final = 1.0

log = logging.getLogger(__name__)


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who holds a key, and by what it is known again."""

    name: str
    sha256: str
    created_at: datetime
    expires_at: datetime | None = None


class _Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[ApiKey]


def own_headers() -> dict[str, str]:
    """What a client of ours sends to say who it is: the key in MLOPS_API_KEY, where there is one."""
    key = os.environ.get(KEY_VARIABLE)
    return {"Authorization": f"Bearer {key}"} if key else {}


def read_keys(file: Path) -> list[ApiKey]:
    """The keys in a file; InputRefused for one that can't be read or understood."""
    try:
        with file.open("rb") as stream:
            return msgspec.json.decode(stream.read(MAXIMUM_BYTES), type=_Keys).keys
    except OSError as error:
        raise InputRefused(f"The file of API keys {file} can't be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputRefused(f"{file} is no file of API keys as `mlops serve-keys` writes it: {error}.") from error


def add_key(file: Path, name: str, expires_at: datetime | None = None) -> str:
    """Make a key for `name`, which must be new in the file; the key itself."""
    keys = read_keys(file) if file.exists() else []
    if not NAME.fullmatch(name):
        raise InputRefused(f"{name!r} can't be a key's name: take lower-case letters, digits and . _ @ + - (up to 64).")
    if any(key.name == name for key in keys):
        raise InputRefused(f"{file} has a key {name} already. Give the new one another name, then revoke the old one.")
    secret = PREFIX + secrets.token_urlsafe(32)
    _write(file, [*keys, ApiKey(name, _digest(secret), datetime.now(UTC).replace(microsecond=0), expires_at)])
    return secret


def revoke_key(file: Path, name: str) -> None:
    """Take a key out of the file; InputRefused where there is none of that name."""
    keys = read_keys(file)
    kept = [key for key in keys if key.name != name]
    if len(kept) == len(keys):
        raise InputRefused(f"{file} has no key {name}. `mlops serve-keys list` names them.")
    _write(file, kept)


class ApiKeys:
    """The keys of a file; a change to it counts within a second, and one that can't be read changes nothing."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._keys = read_keys(file)
        self._seen = self._stamp()
        self._looked_at_s = time.monotonic()

    def find(self, secret: str) -> ApiKey | None:
        """The entry of a key, None for what is none; how long it takes tells nothing of the keys."""
        self._look()
        digest = _digest(secret)
        found = [key for key in self._keys if hmac.compare_digest(key.sha256.encode(), digest.encode())]
        return found[0] if found else None

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at_s < LOOKED_AT_EVERY_S:
            return
        self._looked_at_s = now
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._keys = read_keys(self._file)
            log.info("%d API keys are valid now", len(self._keys))
        except InputRefused as error:
            log.error("The API keys stay as they were: %s", error)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _write(file: Path, keys: list[ApiKey]) -> None:
    temporary = file.with_name(f".{file.name}-{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(_Keys(keys)), indent=2) + b"\n")
        os.replace(temporary, file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputRefused(f"The file of API keys {file} can't be written: {error.strerror}.") from error
