"""A bundle in an object store: addressed by the digest of its manifest, verified byte by byte when it is fetched."""

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import ValidationError

from ml.bundle.canonical import canonical_json, sha256
from ml.bundle.manifest import DIGEST_PATTERN, Manifest
from ml.errors import ReleaseRefused
from ml.store import Store

__all__ = [
    "MANIFEST_FILE",
    "SIGNATURE_FILE",
    "bundle_digest",
    "canonical",
    "differences",
    "digest_of",
    "fetch",
    "file_digests",
    "key_of",
    "publish",
    "read_file",
    "read_manifest",
    "verify",
    "verify_folder",
]

MANIFEST_FILE: Final = "manifest.json"
SIGNATURE_FILE: Final = "manifest.json.sig"
UNLISTED: Final = frozenset({MANIFEST_FILE, SIGNATURE_FILE})  # what a manifest can't name: itself, and what signs it
MAXIMUM_MANIFEST_BYTES: Final = 4 * 1024 * 1024
CHUNK_BYTES: Final = 1024 * 1024


def canonical(manifest: Manifest) -> bytes:
    """The one JSON text of a manifest: sorted keys, no spaces, UTF-8.

    Only what was stated is written, so that a manifest from before a field was added keeps its digest.
    """
    return canonical_json(manifest.model_dump(mode="json", exclude_unset=True))


def digest_of(manifest: Manifest) -> str:
    """The release's digest: `sha256:` and the SHA-256 of the canonical manifest."""
    return sha256(canonical(manifest))


def bundle_digest(files: dict[str, str]) -> str:
    """The digest of a listing of files: the same bytes under the same names give the same digest."""
    return sha256(canonical_json(files))


def file_digests(folder: Path, unlisted: frozenset[str] = UNLISTED) -> dict[str, str]:
    """Every file below `folder` but those `unlisted`, a bundle's manifest and its signature, with its digest.

    ReleaseRefused for a symlink or a special file.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ReleaseRefused(f"{name} in {folder} is a link or a special file; a release holds plain files only.")
        if path.is_file() and name not in unlisted:
            with path.open("rb") as file:
                found[name] = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    return found


def key_of(digest: str) -> str:
    """The prefix of a release's bundle in the store; ReleaseRefused for what is no digest, `latest` among it."""
    if not re.fullmatch(DIGEST_PATTERN, digest):
        raise ReleaseRefused(
            f"{digest!r} is not a release. A release is named by its digest, sha256: and 64 hexadecimal digits, "
            "as `mlops release` prints it."
        )
    return f"bundles/sha256/{digest.removeprefix('sha256:')}"


def publish(store: Store, folder: Path) -> str:
    """Copy a bundle into the store and return its release digest; the manifest goes last, so a half copy is never seen.

    Safe to repeat, which also mends a bundle that was altered in the store.
    """
    manifest = _read_folder_manifest(folder)
    _refuse_difference(manifest.files, file_digests(folder), str(folder))
    data = canonical(manifest)
    digest = sha256(data)
    key = key_of(digest)
    for name in manifest.files:
        store.write(f"{key}/{name}", (folder / name).read_bytes())
    store.write(f"{key}/{MANIFEST_FILE}", data)
    return digest


def read_manifest(store: Store, digest: str) -> Manifest:
    """The manifest of a release in the store, after its own digest was checked."""
    return _parse(_manifest_bytes(store, digest), digest)


def verify(store: Store, digest: str) -> Manifest:
    """Check every file of a release in the store; ReleaseRefused names what is altered, missing or extra."""
    manifest = read_manifest(store, digest)
    key = key_of(digest)
    listed = {name: _digest_in_store(store, f"{key}/{name}") for name in _names_in_store(store, key)}
    _refuse_difference(manifest.files, listed, store.url(key))
    return manifest


def fetch(store: Store, digest: str, folder: Path) -> Manifest:
    """Bring a release into `folder`, verified before it is there; a good copy that is there already is kept."""
    if folder.exists():
        try:
            return verify_folder(folder, digest)
        except ReleaseRefused:
            shutil.rmtree(folder)  # a cache that was altered or cut short: the store has the truth
    data = _manifest_bytes(store, digest)
    manifest = _parse(data, digest)
    key = key_of(digest)
    extra = _names_in_store(store, key) - manifest.files.keys()
    if extra:
        raise ReleaseRefused(_sentence(store.url(key), [f"{name} does not belong to it" for name in sorted(extra)]))
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        for name in manifest.files:
            _download(store, f"{key}/{name}", temporary / name)
        (temporary / MANIFEST_FILE).write_bytes(data)
        _refuse_difference(manifest.files, file_digests(temporary), store.url(key))
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def read_file(store: Store, digest: str, manifest: Manifest, name: str) -> bytes:
    """One file of a release; ReleaseRefused when it was altered, FileNotFoundError when it isn't there."""
    data = store.read(f"{key_of(digest)}/{name}")
    if sha256(data) != manifest.files.get(name):
        raise ReleaseRefused(f"The {name} of the release {digest} in {store.uri} was altered. Restore it.")
    return data


def verify_folder(folder: Path, digest: str) -> Manifest:
    """Check every file of a release in a folder; ReleaseRefused names what is altered, missing or extra."""
    file = folder / MANIFEST_FILE
    if file.is_symlink() or not file.is_file() or file.stat().st_size > MAXIMUM_MANIFEST_BYTES:
        raise ReleaseRefused(f"{folder} holds no {MANIFEST_FILE}.")
    manifest = _parse(_with_digest(file.read_bytes(), digest, str(file)), digest)
    _refuse_difference(manifest.files, file_digests(folder), str(folder))
    return manifest


def _manifest_bytes(store: Store, digest: str) -> bytes:
    key = f"{key_of(digest)}/{MANIFEST_FILE}"
    try:
        with store.open(key) as file:
            data = file.read(MAXIMUM_MANIFEST_BYTES + 1)
    except FileNotFoundError as error:
        raise ReleaseRefused(
            f"The release {digest} is not in the store {store.uri}. "
            "Pin a digest that is there, or publish it again with `mlops release`."
        ) from error
    return _with_digest(data, digest, store.url(key))


def _with_digest(data: bytes, digest: str, where: str) -> bytes:
    if len(data) > MAXIMUM_MANIFEST_BYTES:
        raise ReleaseRefused(f"{where} is larger than {MAXIMUM_MANIFEST_BYTES} bytes: that is no manifest.")
    if sha256(data) != digest:
        raise ReleaseRefused(
            f"{where} was altered: its digest is {sha256(data)}, not {digest}. Restore it, or pin another release."
        )
    return data


def _parse(data: bytes, where: str) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ReleaseRefused(
            f"The manifest of {where} is not one that this version reads: "
            f"{'.'.join(map(str, first['loc'])) or 'as a whole'}: {first['msg']}."
        ) from error
    for name in manifest.files:
        if not _is_plain(name):
            raise ReleaseRefused(f"The manifest of {where} names the file {name!r}, which is no path inside a bundle.")
    if bundle_digest(manifest.files) != manifest.bundle_digest:
        raise ReleaseRefused(f"The manifest of {where} contradicts itself: bundle_digest is not that of its files.")
    return manifest


def _read_folder_manifest(folder: Path) -> Manifest:
    data = (folder / MANIFEST_FILE).read_bytes()
    return _parse(data, str(folder))


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return (
        name == PurePosixPath(name).as_posix()
        and not any(part in ("", ".", "..") or part.startswith(".writing-") for part in parts)
        and "\\" not in name
        and name.isprintable()
        and len(name) <= 512
        and name not in UNLISTED
    )


def _names_in_store(store: Store, key: str) -> set[str]:
    return {found.removeprefix(f"{key}/") for found in store.list(key)} - UNLISTED


def _digest_in_store(store: Store, key: str) -> str:
    with store.open(key) as file:
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _download(store: Store, key: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with store.open(key) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, CHUNK_BYTES)
    except FileNotFoundError:
        target.unlink(missing_ok=True)  # named as missing, with all else that is wrong, when the files are compared


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """What two listings of files differ in, a phrase a file: missing, too many, altered."""
    wrong = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    wrong += [f"{name} does not belong to it" for name in sorted(found.keys() - expected.keys())]
    wrong += [f"{name} was altered" for name in sorted(expected.keys() & found.keys()) if expected[name] != found[name]]
    return wrong


def _refuse_difference(expected: dict[str, str], found: dict[str, str], where: str) -> None:
    if wrong := differences(expected, found):
        raise ReleaseRefused(_sentence(where, wrong))


def _sentence(where: str, wrong: list[str]) -> str:
    more = f" (and {len(wrong) - 5} more)" if len(wrong) > 5 else ""
    return (
        f"The bundle {where} is not what its manifest says: {', '.join(wrong[:5])}{more}. "
        "Publish it again, or pin another release."
    )
