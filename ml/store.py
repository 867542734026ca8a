"""The object store of an environment: a few operations on keys below a URI, the same on a folder and in a cloud."""

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ml.errors import InputRefused

__all__ = ["UNFINISHED", "Store"]

UNFINISHED: Final = ".writing-"


class Store:
    """Keys are relative POSIX paths. A reader never sees a half-written object, whatever the store is."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        # Remembered listings would hide what another process wrote, and a ledger's writer would never find its place.
        try:
            opened = fsspec.url_to_fs(self.uri, use_listings_cache=False)
        except (ValueError, ImportError) as error:  # a protocol that fsspec doesn't know, or whose library isn't there
            raise InputRefused(f"The store {self.uri} can't be opened: {error}.") from error
        self.filesystem, self._root = cast(tuple[fsspec.AbstractFileSystem, str], opened)
        self.is_folder = isinstance(self.filesystem, LocalFileSystem)

    def path(self, key: str) -> str:
        """The object's path as `filesystem` wants it; ValueError for a key that leaves the store."""
        pure = PurePosixPath(key)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise ValueError(f"{key!r} is not a key inside the store {self.uri}")
        return f"{self._root}/{pure}"

    def url(self, key: str) -> str:
        """The object's full URI."""
        return f"{self.uri}/{key}"

    def exists(self, key: str) -> bool:
        """Whether there is an object or a prefix of that name."""
        return bool(self.filesystem.exists(self.path(key))) or self._lacks()

    def read(self, key: str) -> bytes:
        """The object's bytes; FileNotFoundError when there is none."""
        return cast(bytes, self.filesystem.cat_file(self.path(key)))

    def open(self, key: str) -> IO[bytes]:
        """The object for reading in pieces."""
        return cast(IO[bytes], self.filesystem.open(self.path(key), "rb"))

    def write(self, key: str, data: bytes) -> None:
        """Write the object as a whole, over what was there."""
        if self.is_folder:
            temporary = self._temporary(key, data)
            try:
                os.replace(temporary, self.path(key))
            except OSError:  # a folder of that name
                temporary.unlink(missing_ok=True)
                raise
        else:
            self.filesystem.pipe_file(self.path(key), data)

    def create(self, key: str, data: bytes) -> None:
        """Write the object only if there is none: FileExistsError otherwise, also between concurrent writers."""
        if not self.is_folder:
            self.filesystem.pipe_file(self.path(key), data, mode="create")
            return
        temporary = self._temporary(key, data)
        try:
            os.link(temporary, self.path(key))
        finally:
            os.unlink(temporary)

    def list(self, prefix: str = "") -> Iterator[str]:
        """The keys below `prefix`, sorted; unfinished writes are not shown."""
        base = self.path(prefix) if prefix else self._root
        if not self.filesystem.exists(base):
            self._lacks()
            return
        root = self.filesystem._strip_protocol(self._root)  # pyright: ignore[reportPrivateUsage] # fsspec names no public way
        for path in sorted(cast(list[str], self.filesystem.find(base))):
            key = str(path)[len(str(root)) :].lstrip("/")
            if not PurePosixPath(key).name.startswith(UNFINISHED):
                yield key

    def delete(self, key: str) -> None:
        """Remove the object, or everything below a prefix; nothing happens when there is none."""
        if self.exists(key):
            self.filesystem.rm(self.path(key), recursive=True)

    def delete_unfinished(self, prefix: str, before: datetime) -> int:
        """Remove what writers that were killed before `before` left below `prefix` of a folder; how many files."""
        if not self.is_folder:
            return 0  # an object in a cloud is there as a whole or not at all
        deleted = 0
        for file in Path(self.path(prefix)).rglob(f"{UNFINISHED}*"):
            with suppress(FileNotFoundError):  # its writer was only slow
                if file.stat().st_mtime < before.timestamp():
                    file.unlink()
                    deleted += 1
        return deleted

    def upload(self, folder: Path, prefix: str) -> None:
        """Copy a folder's files below `prefix`; a single file is never half there."""
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            self.write(f"{prefix}/{file.relative_to(folder).as_posix()}", file.read_bytes())

    def download(self, prefix: str, folder: Path) -> None:
        """Copy everything below `prefix` into `folder`; FileNotFoundError when there is nothing."""
        keys = list(self.list(prefix))
        if not keys:
            raise FileNotFoundError(self.url(prefix))
        for key in keys:
            target = folder / PurePosixPath(key).relative_to(prefix)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.read(key))

    def _lacks(self) -> bool:
        """False; OSError where the store is no folder: that must not look like an empty one."""
        root = Path(self._root)
        if self.is_folder and os.path.lexists(root) and not stat.S_ISDIR(root.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._root)
        return False

    def _temporary(self, key: str, data: bytes) -> Path:
        target = Path(self.path(key))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{UNFINISHED}{uuid.uuid4().hex}")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            temporary.unlink(missing_ok=True)  # a full disk must not be filled further
            error.filename = str(target)  # a write names no file, and this one is not what anybody looks for
            raise
        return temporary
