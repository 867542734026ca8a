"""A key that was revoked: what it signed before that moment still holds, what it signs from then on doesn't.

It is a file beside the public key, NAME.revoked, to be committed and reviewed like the key itself.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from ml.errors import InputRefused

__all__ = ["Revocation", "read_revocation", "revoke"]

SUFFIX: Final = ".revoked"


class Revocation(BaseModel):
    """From when on a key's signatures don't count, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: AwareDatetime
    reason: str


def read_revocation(public: Path) -> Revocation | None:
    """The revocation of the key in the file `public`, None where there is none; InputRefused for one that isn't one."""
    file = public.with_suffix(SUFFIX)
    try:
        return Revocation.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise InputRefused(
            f"{file} says that a key was revoked, but not since when: {error}. Restore it from the history."
        ) from error


def revoke(public: Path, at: datetime, reason: str) -> Path:
    """Revoke the key in the file `public`; the file that says so. A revocation can be set earlier, never later."""
    before = read_revocation(public)
    if before and before.at <= at:
        raise InputRefused(
            f"{public.stem} was revoked on {before.at:%Y-%m-%d %H:%M} UTC already: {before.reason}. "
            "A revocation can be set earlier, never later."
        )
    file = public.with_suffix(SUFFIX)
    unfinished = file.with_name(f".{file.name}")
    unfinished.write_text(Revocation(at=at, reason=reason).model_dump_json(indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, file)
    return file
