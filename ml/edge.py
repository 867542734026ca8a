"""The edge of the command line: what fails outside of this program reaches a person as a sentence, not as a traceback.

A mistake of this program itself still shows its traceback, for whoever mends it.
"""

import errno
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, NoReturn

import click

from ml.errors import MlopsError

__all__ = ["DEBUG", "sentences", "told"]

DEBUG: Final = "MLOPS_DEBUG"
# Packages that stand between this program and a file, a store or a service.
CLIENTS: Final = frozenset(
    {
        *("adlfs", "aiobotocore", "aiohttp", "azure", "boto3", "botocore", "databricks", "fsspec", "gcsfs", "google"),
        *("grpc", "httpx", "mlflow", "polars", "pyarrow", "requests", "s3fs", "sqlalchemy", "sqlite3", "urllib3"),
    }
)
CAUSES: Final = {
    errno.ENOENT: ("isn't there", "Check the path, and whether `pulumi up` has made what it belongs to."),
    errno.EACCES: ("may not be used by this user", "Change its owner or its permissions."),
    errno.EPERM: ("may not be changed by this user", "Change its owner or its permissions."),
    errno.EROFS: ("lies where nothing can be written", "Mount the file system for writing, or use another place."),
    errno.ENOSPC: ("finds no space left", "Free some space on the disk."),
    errno.EDQUOT: ("finds no space left in this user's share", "Free some space, or have the quota raised."),
    errno.EFBIG: ("is larger than this process may write", "Raise the limit (`ulimit -f`)."),
    errno.ENOTDIR: ("is, or lies below, a file where a folder should be", "Move that file away."),
    errno.EISDIR: ("is a folder where a file should be", "Remove or restore it."),
    errno.EEXIST: ("is there already, where something else should be", "Move it away."),
    errno.ELOOP: ("is a link that leads to itself", "Remove or restore it."),
    errno.ENAMETOOLONG: ("has too long a name", "Use a shorter path."),
    errno.EMFILE: ("can't be opened: too many files are open", "Raise the limit (`ulimit -n`)."),
    errno.ENFILE: ("can't be opened: too many files are open on this machine", "End what holds them."),
    errno.EIO: ("can't be read or written: the disk reports an error", "Check the disk."),
}
AGAIN: Final = "Then run the command again."


@contextmanager
def sentences(name: str) -> Generator[None]:
    """Run a command in this block: its errors are printed after its `name`, and end the process with their exit code.

    With MLOPS_DEBUG set the traceback is shown.
    """
    try:
        yield
    except Exception as error:
        said = str(error) if isinstance(error, MlopsError) else told(error)
        if said is None or os.environ.get(DEBUG):
            raise
        _end(name, said, error.exit_code if isinstance(error, MlopsError) else MlopsError.exit_code)


def told(error: Exception) -> str | None:
    """What failed outside of this program, where, and what to do; None for what can only be its own mistake."""
    if isinstance(error, subprocess.CalledProcessError):
        return _ended(error)
    if (client := _client(error)) is not None:
        return f"{client} failed: {_in_a_line(error)} {_advice(error)}"
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, ImportError) and not (error.name or "").startswith(("ml.", "infra.", "pipelines.")):
        return f"A library is missing: {_in_a_line(error)} Install this project with the extra that brings it."
    return None


def _client(error: Exception) -> str | None:
    """The package that raised it, or whose class it is."""
    names = [kind.__module__.partition(".")[0] for kind in type(error).__mro__]
    if isinstance(error, OSError) and error.errno in CAUSES:  # fsspec and pyarrow raise the system's errors too
        return None
    return next((name for name in names if name in CLIENTS), None)


def _of_the_system(error: OSError) -> str:
    where = next((str(name) for name in (error.filename2, error.filename) if name), None)
    cause, advice = CAUSES.get(error.errno or 0, (None, ""))
    if cause is not None and where is not None:
        return f"{where} {cause}. {advice} {AGAIN}"
    what = (error.strerror or str(error) or type(error).__name__).rstrip(".")
    return f"{f'{where}: ' if where else ''}{what}. {advice} {AGAIN}".replace("  ", " ")


def _ended(error: subprocess.CalledProcessError) -> str:
    words = error.cmd if isinstance(error.cmd, str) else " ".join(map(str, error.cmd))
    said = error.stderr or error.stdout or b""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    last = text.strip().splitlines()[-1:] or ["it said nothing"]
    return f"`{words}` ended with exit code {error.returncode}: {last[0].rstrip('.')}."


def _advice(error: Exception) -> str:
    text = str(error).lower()
    if any(word in text for word in ("credential", "token", "denied", "forbidden", "unauthorized", "401", "403")):
        return "Check who you are signed in as, and what that may do. " + AGAIN
    if any(word in text for word in ("connect", "timed out", "timeout", "resolve", "unreachable", "refused")):
        return "Check that the service is up and can be reached from here. " + AGAIN
    return f"Mend what it names. {AGAIN} ({DEBUG}=1 shows where it happened.)"


def _in_a_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{text[:500].rstrip('.')}."


def _end(name: str, said: str, exit_code: int) -> NoReturn:
    click.echo(f"{name}: {said}", err=True)
    sys.exit(exit_code)
