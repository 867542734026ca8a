"""Random keys that an environment keeps in its own store: made once, the same for every process."""

import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from ml.store import Store

__all__ = ["environment_key"]

KEY_BYTES: Final = 32


def environment_key(store: Store, key: str) -> bytes:
    """The 32 random bytes at `key`, made by whoever asks first; in a folder, only its owner can read them.

    In a cloud the store's own access rules guard them: give the prefix to the identities that need it alone.
    """
    with suppress(FileNotFoundError):
        return store.read(key)
    if store.is_folder:
        # The folder is closed before the key is in it: there is no moment at which others could read it.
        folder = Path(store.path(key)).parent
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    with suppress(FileExistsError):  # another process was faster: its key is the one
        store.create(key, secrets.token_bytes(KEY_BYTES))
    if store.is_folder:
        Path(store.path(key)).chmod(0o600)
    return store.read(key)
