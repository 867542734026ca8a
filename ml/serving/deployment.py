"""What a server serves: a small file states it, and a running server swaps to it when it is asked.

The file is `{"release": "sha256:…"}`, with `"challenger": {"release": "sha256:…", "mode": "canary", "weight": 0.1}`
where one is tried. The server reads it when it starts and at every `POST /admin/reload`, which answers when what is
stated serves, or says why what was before still does. The request carries `Authorization: Bearer <token>`; the token
stands in `admin-token` beside the file, readable by its owner alone.

A challenger that the server took out of use is remembered beside the file, for as long as the file states the same.
"""

import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from ml.errors import InputRefused

__all__ = ["TOKEN_FILE", "Deployment", "Returned", "Stated", "admin_token", "remember", "returned", "stated"]

TOKEN_FILE: Final = "admin-token"  # noqa: S105 # a file's name
RETURNED_FILE: Final = "challenger-returned.json"
MAXIMUM_BYTES: Final = 64 * 1024
MINIMUM_TOKEN_LENGTH: Final = 32


class Stated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A challenger: a canary answers the share `weight` of requests, a shadow scores it after the champion answered."""

    release: str
    mode: Literal["canary", "shadow"]
    weight: Annotated[float, msgspec.Meta(gt=0, le=1)]


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a deployment file states."""

    release: str
    challenger: Stated | None = None


class Returned(msgspec.Struct, frozen=True):
    """Why and when the challenger of a deployment was taken out of use."""

    deployment: Deployment
    cause: str
    reason: str
    at: datetime


def stated(file: Path) -> Deployment | None:
    """What a deployment file states, None while there is no file; InputRefused for one that can't be understood."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAXIMUM_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputRefused(f"The deployment file {file} can't be read: {error.strerror}.") from error
    try:
        return msgspec.json.decode(data, type=Deployment)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputRefused(f'The deployment file {file} is not {{"release": "sha256:…"}}: {error}.') from error


def returned(file: Path, deployment: Deployment, *, forget: bool = True) -> Returned | None:
    """What is remembered of the challenger of exactly this deployment; what was said of another one is forgotten."""
    memory = file.with_name(RETURNED_FILE)
    try:
        found = msgspec.json.decode(memory.read_bytes(), type=Returned)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if found is None or found.deployment != deployment:
        if forget:
            memory.unlink(missing_ok=True)
        return None
    return found


def remember(file: Path, returned: Returned) -> None:
    """Keep a decision past the end of this process."""
    _replace(file.with_name(RETURNED_FILE), msgspec.json.encode(returned))


def admin_token(file: Path) -> str:
    """The token beside a deployment file; made when there is none that only its owner can read."""
    token = file.with_name(TOKEN_FILE)
    if text := _private_text(token):
        return text
    text = secrets.token_urlsafe(32)
    token.parent.mkdir(parents=True, exist_ok=True)
    _replace(token, text.encode())
    return text


def _replace(file: Path, data: bytes) -> None:
    """Write a file as a whole, readable by its owner alone."""
    temporary = file.with_name(f".{file.name}-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, file)


def _private_text(file: Path) -> str | None:
    try:
        private = file.is_file() and not file.is_symlink() and file.stat().st_mode & 0o077 == 0
        text = file.read_text(encoding="ascii").strip() if private else ""
    except (OSError, UnicodeDecodeError):
        return None
    return text if len(text) >= MINIMUM_TOKEN_LENGTH else None
