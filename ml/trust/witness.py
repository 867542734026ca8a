"""What somebody saw of a ledger, kept out of its store's reach: so a chain that was cut off or begun anew is noticed.

No chain shows that by itself. A head is kept in four places, and whoever reads a ledger is told of those within reach:
in a note on this machine, beside the keys; in the stack's file, beside the pin; in the engine's state of the stack, as
an output; and, of the environment before, in the evidence that came with a release. It moves on only when an entry was
written and is there: who is killed in between leaves a head that is older, which is no harm.
"""

import os
import re
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ml.errors import InputRefused
from ml.trust.keys import personal_folder

__all__ = ["HEAD_PATTERN", "Head", "forget", "heads", "look", "note", "see"]

HEAD_PATTERN: Final = r"^[1-9][0-9]{0,8} sha256:[0-9a-f]{64}$"


class _Numbered(Protocol):
    @property
    def digest(self) -> str: ...


@dataclass(frozen=True)
class Head:
    """The number and digest of an entry that was the newest; `said_by` names who says so, in the words of a sentence.

    It needs no signature of its own: the entry that it names is signed. One that is made up can only raise an alarm.
    """

    sequence: int
    digest: str
    said_by: str

    def __str__(self) -> str:
        return f"{self.sequence} {self.digest}"

    @classmethod
    def parse(cls, text: str, said_by: str) -> "Head":
        """What a stack's file or output says, like `12 sha256:…`; InputRefused for anything else."""
        if not re.fullmatch(HEAD_PATTERN, text):
            raise InputRefused(
                f"{said_by} says that a ledger's newest entry is {text!r}, which is no entry's number and digest. "
                "Restore the line from the history."
            )
        sequence, _, digest = text.partition(" ")
        return cls(int(sequence), digest, said_by)

    def is_in(self, chain: Sequence[_Numbered]) -> bool:
        """Whether a chain goes on from what was seen."""
        return len(chain) >= self.sequence and chain[self.sequence - 1].digest == self.digest


def heads(said: Iterable[tuple[str | None, str]]) -> tuple[Head, ...]:
    """The heads among pairs of what is said, None where nothing is, and by whom."""
    return tuple(Head.parse(text, said_by) for text, said_by in said if text is not None)


class _Note(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str
    stack: str
    sequence: int = Field(ge=1)
    digest: str
    at: AwareDatetime


def look(store_uri: str, stack: str) -> Head | None:
    """What this machine last saw of a stack's ledger, None when nothing was."""
    try:
        seen = _Note.model_validate_json(note(store_uri, stack).read_bytes())
    except (OSError, ValidationError):  # one that was cut short, or can't be read, says nothing
        return None
    return Head(
        seen.sequence,
        seen.digest,
        f"this machine, which looked on {seen.at:%Y-%m-%d %H:%M} UTC ({note(store_uri, stack)}),",
    )


def see(store_uri: str, stack: str, sequence: int, digest: str) -> None:
    """Remember the newest entry; where this machine can't write, nothing is remembered."""
    file = note(store_uri, stack)
    seen = _Note(store=store_uri, stack=stack, sequence=sequence, digest=digest, at=datetime.now(UTC))
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
