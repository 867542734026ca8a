"""Which release a server serves: a small file states it, and a running server swaps to it when it is asked.

The file is `{"release": "sha256:…"}`. The server reads it when it starts and at every `POST /admin/reload`, which
answers when the stated release serves, or says why the one before it still does. The request carries
`Authorization: Bearer <token>`; the token stands in `admin-token` beside the file, readable by its owner alone.
"""

import os
import secrets
from pathlib import Path
from typing import Final

import msgspec

from ml.errors import InputRefused

__all__ = ["TOKEN_FILE", "admin_token", "stated_release"]

TOKEN_FILE: Final = "admin-token"  # noqa: S105 # a file's name
MAXIMUM_BYTES: Final = 64 * 1024
MINIMUM_TOKEN_LENGTH: Final = 32


class _Deployment(msgspec.Struct, forbid_unknown_fields=True):
    release: str


def stated_release(file: Path) -> str | None:
    """The digest that a deployment file states, None while there is no file; InputRefused for one that says nothing."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAXIMUM_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputRefused(f"The deployment file {file} can't be read: {error.strerror}.") from error
    try:
        return msgspec.json.decode(data, type=_Deployment).release
    except msgspec.DecodeError as error:
        raise InputRefused(f'The deployment file {file} is not {{"release": "sha256:…"}}: {error}.') from error


def admin_token(file: Path) -> str:
    """The token beside a deployment file; made when there is none that only its owner can read."""
    token = file.with_name(TOKEN_FILE)
    if text := _private_text(token):
        return text
    text = secrets.token_urlsafe(32)
    token.parent.mkdir(parents=True, exist_ok=True)
    temporary = token.with_name(f".{TOKEN_FILE}-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(text)
    os.replace(temporary, token)
    return text


def _private_text(file: Path) -> str | None:
    try:
        private = file.is_file() and not file.is_symlink() and file.stat().st_mode & 0o077 == 0
        text = file.read_text(encoding="ascii").strip() if private else ""
    except (OSError, UnicodeDecodeError):
        return None
    return text if len(text) >= MINIMUM_TOKEN_LENGTH else None
