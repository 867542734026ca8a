"""The ledger of an environment: an append-only chain of signed entries in its object store.

`ledger/00000001.json` and so on. Each entry holds the digest of the one before and is signed by who made it, so
an altered, exchanged, inserted or missing entry shows. An entry is created only if there is none of its number:
of two writers one wins, the other takes the next number; a writer that dies leaves an entry or none. That the newest
entries were cut off can't be seen in the chain alone: see `ml.trust.witness`, whose heads every reader compares.

An entry that its key signed after it was revoked stays a link of the chain, and counts for nothing that lets a release
go on. What takes a release away (it was retired, it failed) counts until `mlops ledger reseat` has decided it: a stolen
key must neither give nor, by being revoked, give back.
"""

import base64
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from pydantic import JsonValue, ValidationError

from ml.errors import ReleaseRefused
from ml.store import Store
from ml.trust.entry import Entry, Event, counts, is_a_persons, is_signed, listed, signed_by, takes_away
from ml.trust.keys import Signer, TrustedKeys
from ml.trust.witness import Head, look, see

__all__ = ["Entry", "Event", "Ledger", "LedgerBroken", "LedgerCut", "signed_by"]

PREFIX: Final = "ledger"
MAXIMUM_ENTRY_BYTES: Final = 1024 * 1024


class LedgerBroken(ReleaseRefused):
    """An entry is altered, missing or not signed by whom it names."""


class LedgerCut(LedgerBroken):
    """An entry that somebody saw is not in the chain any more."""


class Ledger:
    """The entries of one stack's store; what was read is verified once and kept.

    `known` are the heads that are kept elsewhere; what this machine saw is looked up whenever the ledger is read. That
    the ledger has lost one is accepted when `quorum` people have said so in it.
    """

    def __init__(
        self,
        store: Store,
        stack: str,
        environment: str,
        trusted: TrustedKeys,
        known: Iterable[Head | None] = (),
        quorum: int = 1,
    ) -> None:
        self.stack = stack
        self.environment = environment
        self.trusted = trusted
        self.quorum = quorum
        self._known = [head for head in known if head is not None]
        self._store = store
        self._verified: list[Entry] = []
        self._lock = threading.Lock()

    def entries(self) -> tuple[Entry, ...]:
        """Every entry that counts, oldest first; LedgerBroken names the first that doesn't hold, or is gone."""
        chain, lost = self.compared()
        if lost:
            raise LedgerCut(self._said(lost[0], chain))
        return self.counting(chain)

    def counting(self, chain: Sequence[Entry]) -> tuple[Entry, ...]:
        """The entries of a chain that count: not those of a key that was revoked, but for what they take away."""
        decided = self._decided(chain)
        return tuple(e for e in chain if counts(e, self.trusted) or (takes_away(e) and str(e.head) not in decided))

    def chain(self) -> tuple[Entry, ...]:
        """Every entry, also those that count no more: for what happened, never for what may."""
        with self._lock:
            self._read_on()
            return tuple(self._verified)

    def void(self) -> tuple[Entry, ...]:
        """The entries that were signed with a key that was revoked by then, and that nobody has decided yet."""
        chain = self.chain()
        decided = self._decided(chain)
        return tuple(e for e in chain if not counts(e, self.trusted) and str(e.head) not in decided)

    def compared(self) -> tuple[tuple[Entry, ...], list[Head]]:
        """The chain, and the heads that it has lost; of one that has lost none, this machine remembers the newest."""
        before = look(self._store.uri, self.stack)  # first: whoever noted an entry since then has written it before
        chain = self.chain()
        accepted = Counter(
            said for said, _ in {(said, e.key) for e in self._reseats(chain) for said in listed(e, "lost")}
        )
        lost = [head for head in self._with(before) if not head.is_in(chain) and accepted[str(head)] < self.quorum]
        if chain and not lost and (before is None or before.digest != chain[-1].digest):
            see(self._store.uri, self.stack, len(chain), chain[-1].digest)
        return chain, lost

    def known(self) -> list[Head]:
        """What is known of it from elsewhere."""
        return self._with(look(self._store.uri, self.stack))

    def _with(self, noted: Head | None) -> list[Head]:
        return [*self._known, *([noted] if noted else [])]

    def append(
        self, event: Event, signer: Signer, release: str | None = None, details: Mapping[str, JsonValue] | None = None
    ) -> Entry:
        """Record what happened, behind whatever others record meanwhile; LedgerBroken when the chain doesn't hold."""
        while True:
            self.entries()
            if entry := self._create(event, signer, release, dict(details or {})):
                return entry

    def reseat(self, signer: Signer, details: Mapping[str, JsonValue]) -> Entry:
        """Record a decision: the one entry that may follow a chain that has lost its end."""
        while True:
            self.chain()
            if entry := self._create("reseated", signer, None, dict(details)):
                return entry

    def _create(self, event: Event, signer: Signer, release: str | None, details: dict[str, JsonValue]) -> Entry | None:
        """Write the entry that follows what was read, and remember it; None where another writer was faster."""
        with self._lock:
            entry = self._next(self._verified[-1] if self._verified else None, event, signer, release, details)
            try:
                self._store.create(_key(entry.sequence), entry.data)
            except FileExistsError:
                return None
        see(self._store.uri, self.stack, entry.sequence, entry.digest)
        return entry

    def _reseats(self, chain: Sequence[Entry]) -> Iterator[Entry]:
        """The decisions that count themselves: one that a revoked key took, or a machine, is none."""
        return (e for e in chain if e.event == "reseated" and counts(e, self.trusted) and is_a_persons(e, self.trusted))

    def _decided(self, chain: Sequence[Entry]) -> set[str]:
        """Which entries of revoked keys were decided, as heads are written."""
        return {said for e in self._reseats(chain) for said in listed(e, "void")}

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
            f"it is not signed by {entry.actor} with a key that counts here": not is_signed(entry, self.trusted),
        }
        if reasons := [why for why, holds in wrong.items() if holds]:
            raise LedgerBroken(
                f"The ledger entry {where} can't be believed: {reasons[0]}. Restore it; if the person is new, or gone, "
                "see that their public key is in keys/."
            )
        return entry

    def _said(self, head: Head, chain: Sequence[Entry]) -> str:
        newest = f"ends with entry {len(chain)}" if chain else "is empty"
        what = "has another" if len(chain) >= head.sequence else "has none of that number"
        return (
            f"{head.said_by[:1].upper()}{head.said_by[1:]} knows entry {head.sequence} of the ledger "
            f"{self._store.url(PREFIX)} as {head.digest[:19]}…, and the ledger {what}: it {newest}. Its end was cut "
            "off, an old one was put in its place, or it was begun anew. Restore it, from the store's versions or a "
            f"backup. What can't be brought back, or was deleted on purpose, is put on record by `mlops ledger reseat "
            f"--stack {self.stack}`."
        )


def _key(number: int) -> str:
    return f"{PREFIX}/{number:08d}.json"
