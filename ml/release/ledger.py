"""The ledger of an environment: an append-only chain of signed entries in its object store.

`ledger/00000001.json` and so on. Each entry holds the digest of the one before and is signed by who made it, so
an altered, exchanged, inserted or missing entry shows. An entry is created only if there is none of its number:
of two writers one wins, the other takes the next number; a writer that dies leaves an entry or none. That the newest
entries were cut off can't be seen in the chain alone: a shared store keeps object versions, or a retention lock.
"""

import base64
import binascii
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ml.errors import ReleaseRefused
from ml.release._canonical import canonical_json, sha256
from ml.release.keys import Signer, TrustedKeys
from ml.release.manifest import DIGEST_PATTERN
from ml.store import Store

__all__ = ["Entry", "Event", "Ledger", "LedgerBroken", "signed_by"]

PREFIX: Final = "ledger"
MAXIMUM_ENTRY_BYTES: Final = 1024 * 1024

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
]


class LedgerBroken(ReleaseRefused):
    """An entry is altered, missing or not signed by whom it names."""


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
    def signed_data(self) -> bytes:
        """What the signature is over."""
        return canonical_json(self.model_dump(mode="json", exclude={"signature"}))


def signed_by(entry: Entry, trusted: TrustedKeys) -> bool:
    """Whether the entry's actor, whose signature counts, signed it."""
    key = trusted.named(entry.actor)
    try:
        signature = base64.b64decode(entry.signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    is_canonical = base64.b64encode(signature).decode() == entry.signature  # one text: padding bits are decoded away
    return (
        is_canonical
        and key is not None
        and key.fingerprint == entry.key
        and key.counts_at(entry.at)
        and key.verifies(signature, entry.signed_data)
    )


class Ledger:
    """The entries of one stack's store; what was read is verified once and kept."""

    def __init__(self, store: Store, stack: str, environment: str, trusted: TrustedKeys) -> None:
        self.stack = stack
        self.environment = environment
        self.trusted = trusted
        self._store = store
        self._verified: list[Entry] = []
        self._lock = threading.Lock()

    def entries(self) -> tuple[Entry, ...]:
        """Every entry, oldest first; LedgerBroken names the first that doesn't hold."""
        with self._lock:
            self._read_on()
            return tuple(self._verified)

    def append(
        self, event: Event, signer: Signer, release: str | None = None, details: Mapping[str, JsonValue] | None = None
    ) -> Entry:
        """Record what happened, behind whatever others record meanwhile; LedgerBroken when the chain doesn't hold."""
        while True:
            before = self.entries()
            entry = self._next(before[-1] if before else None, event, signer, release, dict(details or {}))
            try:
                self._store.create(_key(entry.sequence), entry.data)
            except FileExistsError:
                continue  # another writer was faster, so the ledger has grown
            return entry

    def _read_on(self) -> None:
        while True:
            while entry := self._read(len(self._verified) + 1):
                self._verified.append(entry)
            count = len(self._verified)
            stray = set(self._store.list(PREFIX)) ^ {_key(number) for number in range(1, count + 1)}
            if not stray:
                break
            # An entry is created after its predecessor was seen: if one is beyond the end, the next must be there now.
            if min(stray) <= _key(count) or not self._store.exists(_key(count + 1)):
                raise LedgerBroken(
                    f"The ledger {self._store.url(PREFIX)} has {count} entries in a row, and something is missing or "
                    f"foreign: {min(stray)}. Restore what was there, from the store's versions or a backup."
                )

    def _next(
        self, last: Entry | None, event: Event, signer: Signer, release: str | None, details: dict[str, JsonValue]
    ) -> Entry:
        draft = Entry(
            sequence=last.sequence + 1 if last else 1,
            previous=last.digest if last else None,
            at=max(datetime.now(UTC), last.at) if last else datetime.now(UTC),  # clocks of two machines differ
            stack=self.stack,
            environment=self.environment,
            actor=signer.name,
            key=signer.public.fingerprint,
            event=event,
            release=release,
            details=details,
        )
        return draft.model_copy(update={"signature": base64.b64encode(signer.sign(draft.signed_data)).decode()})

    def _read(self, number: int) -> Entry | None:
        """Entry `number`, verified; None beyond the end."""
        where = self._store.url(_key(number))
        try:
            with self._store.open(_key(number)) as file:
                data = file.read(MAXIMUM_ENTRY_BYTES + 1)
        except FileNotFoundError:
            return None
        try:
            entry = Entry.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            what = f"{'.'.join(map(str, first['loc'])) or 'as a whole'}: {first['msg']}"
            raise LedgerBroken(f"{where} is no ledger entry: {what}. Restore it.") from error
        last = self._verified[-1] if self._verified else None
        wrong = {
            "it is not written as entries are": entry.data != data,
            f"it says it is number {entry.sequence}": entry.sequence != number,
            f"it does not follow entry {number - 1}": entry.previous != (last.digest if last else None),
            f"it is of {entry.stack} ({entry.environment}), not of {self.stack} ({self.environment})": (
                (entry.stack, entry.environment) != (self.stack, self.environment)
            ),
            f"it says that it is older than entry {number - 1}": last is not None and entry.at < last.at,
            f"it is not signed by {entry.actor} with a key that counts here, and did then": (
                not signed_by(entry, self.trusted)
            ),
        }
        if reasons := [why for why, holds in wrong.items() if holds]:
            raise LedgerBroken(
                f"The ledger entry {where} can't be believed: {reasons[0]}. Restore it; if the person is new, or gone, "
                "see that their public key is in keys/."
            )
        return entry


def _key(number: int) -> str:
    return f"{PREFIX}/{number:08d}.json"
