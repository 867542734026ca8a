"""Who may sign in to the review page: a name and the Argon2 hash of a password, an object in the store for each."""

import hashlib
import re
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import AwareDatetime, BaseModel, ConfigDict

from ml.errors import InputRefused
from ml.store import Store

__all__ = ["ACCOUNTS", "MINIMUM_PASSWORD", "Accounts"]

ACCOUNTS: Final = "review/accounts"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
MINIMUM_PASSWORD: Final = 12  # characters
MAXIMUM_PASSWORD: Final = 512


class _Account(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    password_hash: str
    created_at: AwareDatetime


class Accounts:
    """The accounts in one environment's store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hasher = PasswordHasher()
        # What an unknown name is checked against, so that it takes as long as a known one.
        self._nobody = self._hasher.hash("nobody has this password")

    def save(self, name: str, password: str, at: AwareDatetime) -> None:
        """Make an account, or give it another password, which signs its holder out everywhere."""
        if not NAME.fullmatch(name):
            raise InputRefused(
                f"{name!r} can't be an account: take lower-case letters, digits and . _ @ + - (up to 64)."
            )
        if not MINIMUM_PASSWORD <= len(password) <= MAXIMUM_PASSWORD:
            raise InputRefused(f"A password has {MINIMUM_PASSWORD} to {MAXIMUM_PASSWORD} characters.")
        if self._store.is_folder:
            folder = Path(self._store.path(ACCOUNTS))
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        account = _Account(name=name, password_hash=self._hasher.hash(password), created_at=at)
        self._store.write(_key(name), account.model_dump_json().encode())

    def remove(self, name: str) -> None:
        """Take an account away, which signs its holder out everywhere; InputRefused when there is none."""
        if self.stamp(name) is None:
            raise InputRefused(f"There is no account {name}.")
        self._store.delete(_key(name))

    def check(self, name: str, password: str) -> bool:
        """Whether that is the password of that account; takes the same time for a name that nobody has."""
        account = self._find(name)
        try:
            matches = self._hasher.verify(
                account.password_hash if account else self._nobody, password[:MAXIMUM_PASSWORD]
            )
        except (VerificationError, InvalidHashError):
            return False
        return matches and account is not None

    def stamp(self, name: str) -> str | None:
        """What changes when the account's password does; None when there is no such account."""
        account = self._find(name)
        return hashlib.sha256(account.password_hash.encode()).hexdigest()[:16] if account else None

    def _find(self, name: str) -> _Account | None:
        if not NAME.fullmatch(name):
            return None
        try:
            return _Account.model_validate_json(self._store.read(_key(name)))
        except FileNotFoundError:
            return None


def _key(name: str) -> str:
    return f"{ACCOUNTS}/{name}.json"
