"""Who a prediction is about, as the logs know them: a keyed pseudonym, never the name that a caller gave."""

import hashlib
import hmac
import unicodedata
from typing import Final

from ml.errors import InputRefused
from ml.secret import environment_key
from ml.store import Store

__all__ = ["Pseudonyms", "pseudonym"]

KEY: Final = "privacy/pseudonym.key"
MAXIMUM_LENGTH: Final = 256  # characters


class Pseudonyms:
    """An environment's pseudonyms; the key is read once.

    HMAC-SHA256 under a key that stays in the environment: without it nobody can try names until one fits, and DEV's
    pseudonym of a person says nothing about PROD's.
    """

    def __init__(self, store: Store) -> None:
        self._key = environment_key(store, KEY)

    def of(self, subject: str) -> str:
        """The pseudonym, 64 hexadecimal digits; InputRefused for no name, or one of more than 256 characters."""
        name = unicodedata.normalize("NFC", subject).strip()  # the same name typed in two ways is one person
        if not name or len(name) > MAXIMUM_LENGTH:
            raise InputRefused(
                f"A subject is named by 1 to {MAXIMUM_LENGTH} characters, like a customer number; got {len(name)}."
            )
        return hmac.new(self._key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def pseudonym(store: Store, subject: str) -> str:
    """The pseudonym of one subject; for many, make a Pseudonyms once."""
    return Pseudonyms(store).of(subject)
