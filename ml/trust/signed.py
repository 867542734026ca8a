"""A statement that stands in a store as JSON, signed by who makes it, as an entry of a ledger is.

Anybody who may write to the store can put one there; whose it is, and that it is whole, only the signature says.
"""

import base64
import binascii
from typing import Self

from pydantic import BaseModel, ConfigDict

from ml.bundle.canonical import canonical_json
from ml.trust.keys import PublicKey, Signer, TrustedKeys

__all__ = ["Statement"]


class Statement(BaseModel):
    """`key` is the fingerprint of the key that signed everything else in it; both are empty where nobody signed.

    A kind of statement has a field `kind` of one value: a signature under one is never taken for one under another.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = ""
    signature: str = ""

    @property
    def is_signed(self) -> bool:
        """Whether somebody's signature stands in it, a good one or not."""
        return bool(self.key or self.signature)

    @property
    def data(self) -> bytes:
        """The statement's one text."""
        return canonical_json(self.model_dump(mode="json"))

    def signed(self, signer: Signer) -> Self:
        """The same, with the signer's signature."""
        unsigned = self.model_copy(update={"key": signer.public.fingerprint, "signature": ""})
        signature = base64.b64encode(signer.sign(unsigned._signed_data)).decode()
        return unsigned.model_copy(update={"signature": signature})

    def author(self, trusted: TrustedKeys) -> PublicKey | None:
        """Who signed it, None where that is nobody whose signature counts, or its key was revoked at whatever time.

        When it was signed only the statement itself says, which a stolen key could have written: so any revocation
        ends it.
        """
        key = trusted.with_fingerprint(self.key)
        try:
            signature = base64.b64decode(self.signature, validate=True)
        except (binascii.Error, ValueError):
            return None
        if key is None or key.revoked is not None or not key.verifies(signature, self._signed_data):
            return None
        return key

    @property
    def _signed_data(self) -> bytes:
        return canonical_json(self.model_dump(mode="json", exclude={"signature"}))
