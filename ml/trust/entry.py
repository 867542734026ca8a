"""One entry of a ledger: what happened, when, by whom, and whether that still counts."""

import base64
import binascii
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from ml.bundle.canonical import canonical_json, sha256
from ml.bundle.manifest import DIGEST_PATTERN
from ml.trust.keys import TrustedKeys
from ml.trust.witness import Head

__all__ = ["Entry", "Event", "counts", "is_a_persons", "is_signed", "listed", "signed_by", "takes_away"]

Event = Literal[
    "registered",  # the release was made here
    "promoted",  # the release came from the environment before, with that environment's evidence
    "gated",  # this environment's checks of the release: `details.passed`
    "approved",  # someone other than the author lets it be deployed until `details.expires_at`
    "deployed",  # the endpoint serves it
    "undeployed",  # the endpoint was taken away
    "rolled_back",  # the stack file pins an earlier release again
    "retired",  # never again, for `details.reason`
    "erased",  # a person's records were removed
    "reseated",  # what revoked keys signed (`details.void`), and heads that are lost (`details.lost`), are decided
]


class Entry(BaseModel):
    """One thing that happened, when, by whom; `key` is the fingerprint of the key that signed everything else in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    sequence: int = Field(ge=1)
    previous: str | None = Field(pattern=DIGEST_PATTERN)
    at: AwareDatetime
    stack: str
    environment: str
    actor: str
    key: str
    event: Event
    release: str | None = Field(pattern=DIGEST_PATTERN)
    details: dict[str, JsonValue]
    signature: str = ""

    @property
    def data(self) -> bytes:
        """The entry's one text."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """What the next entry, and evidence in another environment, calls it by."""
        return sha256(self.data)

    @property
    def head(self) -> Head:
        """What is kept of it elsewhere."""
        return Head(self.sequence, self.digest, f"whoever wrote entry {self.sequence}")

    @property
    def signed_data(self) -> bytes:
        """What the signature is over."""
        return canonical_json(self.model_dump(mode="json", exclude={"signature"}))


def is_signed(entry: Entry, trusted: TrustedKeys) -> bool:
    """Whether the entry's actor signed it, with a key that counts here or did before it was revoked."""
    key = trusted.named(entry.actor)
    try:
        signature = base64.b64decode(entry.signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    is_canonical = base64.b64encode(signature).decode() == entry.signature  # one text: padding bits are decoded away
    return (
        is_canonical and key is not None and key.fingerprint == entry.key and key.verifies(signature, entry.signed_data)
    )


def signed_by(entry: Entry, trusted: TrustedKeys) -> bool:
    """Whether the entry's actor, whose signature counted then, signed it."""
    return is_signed(entry, trusted) and counts(entry, trusted)


def listed(entry: Entry, name: str) -> list[str]:
    """What a decision lists under a name, as heads are written: number and digest."""
    said = entry.details.get(name)
    return [str(each) for each in said] if isinstance(said, list) else []


def counts(entry: Entry, trusted: TrustedKeys) -> bool:
    """Whether the key of an entry of the chain, whose signature holds, was not revoked by then."""
    key = trusted.named(entry.actor)
    return key is not None and key.counts_at(entry.at)


def is_a_persons(entry: Entry, trusted: TrustedKeys) -> bool:
    """Whether the key of an entry of the chain is a person's: a machine's approves nothing and decides nothing."""
    key = trusted.named(entry.actor)
    return key is not None and not key.is_machine


def takes_away(entry: Entry) -> bool:
    """Whether an entry only ever keeps a release from going on."""
    return entry.event == "retired" or (entry.event == "gated" and entry.details.get("passed") is not True)
