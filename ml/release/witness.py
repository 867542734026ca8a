"""What this machine last saw of a ledger: so a chain whose end was cut off, or that was begun anew, is noticed here.

No chain shows that by itself. The note lies with the keys, in the configuration folder, out of the store's reach.
"""

import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ml.release.keys import personal_folder
from ml.release.ledger import Entry

__all__ = ["Witness", "forget", "look", "note", "see"]


class Witness(BaseModel):
    """The newest entry that was there `at` that time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str
    stack: str
    sequence: int = Field(ge=1)
    digest: str
    at: AwareDatetime

    def is_still_in(self, entries: Sequence[Entry]) -> bool:
        """Whether a chain goes on from what was seen."""
        return len(entries) >= self.sequence and entries[self.sequence - 1].digest == self.digest


def look(store_uri: str, stack: str) -> Witness | None:
    """What was last seen of a stack's ledger, None when nothing was."""
    try:
        return Witness.model_validate_json(note(store_uri, stack).read_bytes())
    except (FileNotFoundError, ValidationError):  # a note that was cut short says nothing
        return None


def see(store_uri: str, stack: str, newest: Entry) -> None:
    """Remember the newest entry; where this machine can't write, nothing is remembered."""
    file = note(store_uri, stack)
    seen = Witness(store=store_uri, stack=stack, sequence=newest.sequence, digest=newest.digest, at=datetime.now(UTC))
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = file.with_name(f".{file.name}-{uuid.uuid4().hex}")
        unfinished.write_text(seen.model_dump_json(indent=2) + "\n", encoding="utf-8")
        os.replace(unfinished, file)


def forget(store_uri: str, stack: str) -> None:
    """Its store was deleted on purpose: the next ledger is another."""
    note(store_uri, stack).unlink(missing_ok=True)


def note(store_uri: str, stack: str) -> Path:
    """The file that remembers a stack's ledger."""
    name = f"{stack}-{sha256(store_uri.rstrip('/').encode()).hexdigest()[:16]}.json"
    return personal_folder().parent / "ledgers" / name
