"""Keys: who signs releases and ledger entries, and whose signatures count.

A key pair has a person's name. The private key never leaves the person's configuration folder
(`$XDG_CONFIG_HOME/mlops-reference/keys/NAME.key`). Whose signatures count depends on the store:

- The organisation's public keys are `keys/NAME.pub` in the checkout: committed, reviewed, and valid for every store.
  Where there is no checkout (an image), MLOPS_TRUSTED_KEYS names the folder.
- A key that lies where a program can use it, in CI, is a machine's: `NAME.machine` beside its `.pub` says so. It signs
  releases, promotions and deployments; it approves nothing and decides nothing that is a person's to decide.
- A store that is a folder of this machine is no safer than this machine's user, so there the public keys beside the
  user's own private keys count too. A first `mlops release` on a laptop makes one without a question, and no file
  appears in the checkout. On a shared store such a key counts for nothing until its `.pub` is committed.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from ml.errors import InputRefused
from ml.store import Store
from ml.trust.checkout import project_root
from ml.trust.people import NAME_PATTERN, current_name
from ml.trust.revocation import Revocation, read_revocation

__all__ = [
    "TRUSTED_VARIABLE",
    "PublicKey",
    "Signer",
    "TrustedKeys",
    "new_key",
    "passphrase",
    "personal_folder",
    "shared_folder",
    "signer",
]

PASSPHRASE_VARIABLE: Final = "MLOPS_KEY_PASSPHRASE"  # noqa: S105 # a variable's name
TRUSTED_VARIABLE: Final = "MLOPS_TRUSTED_KEYS"
MAXIMUM_KEY_BYTES: Final = 16 * 1024
MACHINE_SUFFIX: Final = ".machine"

Origin = Literal["organisation", "this machine"]


@dataclass(frozen=True)
class PublicKey:
    """A person's public key (ECDSA over P-256); its fingerprint is the SHA-256 of the PEM, model-signing's key hint."""

    name: str
    origin: Origin
    pem: bytes
    key: EllipticCurvePublicKey
    revoked: Revocation | None = None
    is_machine: bool = False

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits."""
        return hashlib.sha256(self.pem).hexdigest()

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether this key's owner signed `data`."""
        try:
            self.key.verify(signature, data, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    def counts_at(self, at: datetime) -> bool:
        """Whether what its owner signs at that time counts."""
        return self.revoked is None or at < self.revoked.at


@dataclass(frozen=True)
class Signer:
    """Someone who can sign: `file` holds the private key."""

    public: PublicKey
    file: Path
    private: EllipticCurvePrivateKey

    @property
    def name(self) -> str:
        """Whose key it is."""
        return self.public.name

    def sign(self, data: bytes) -> bytes:
        """An ECDSA signature with SHA-256, DER."""
        return self.private.sign(data, ECDSA(SHA256()))


class TrustedKeys:
    """The public keys whose signatures count; no two names share a key, or one person could be two."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._by_name: dict[str, PublicKey] = {}
        self._by_fingerprint: dict[str, PublicKey] = {}
        for key in keys:
            self.add(key)

    def add(self, key: PublicKey) -> None:
        """Trust a key too; of two keys of one name the first counts, and the organisation's come first."""
        same = self._by_fingerprint.get(key.fingerprint)
        if same and same.name != key.name:
            raise InputRefused(
                f"{same.name} and {key.name} have the same key {key.fingerprint[:16]}…, but a key belongs to one "
                "person. Delete one of the two .pub files."
            )
        if key.name not in self._by_name:
            self._by_name[key.name] = self._by_fingerprint[key.fingerprint] = key

    @classmethod
    def of(cls, store: Store, root: Path | None = None) -> "TrustedKeys":
        """Whose signatures count for a store; `root` is the checkout, by default the one of the working directory."""
        personal = _read_folder(personal_folder(), "this machine") if store.is_folder else iter(())
        return cls(key for keys in (_read_folder(shared_folder(root), "organisation"), personal) for key in keys)

    def __iter__(self) -> Iterator[PublicKey]:
        return iter(sorted(self._by_name.values(), key=lambda key: key.name))

    def named(self, name: str) -> PublicKey | None:
        """The key of a person."""
        return self._by_name.get(name)

    def with_fingerprint(self, fingerprint: str) -> PublicKey | None:
        """The key with that fingerprint."""
        return self._by_fingerprint.get(fingerprint)


def personal_folder() -> Path:
    """Where this user's own key pairs are."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "mlops-reference" / "keys"


def shared_folder(root: Path | None = None) -> Path | None:
    """Where the organisation's public keys are; None outside a checkout when no variable names the folder."""
    if given := os.environ.get(TRUSTED_VARIABLE):
        return Path(given)
    try:
        return (root or project_root()) / "keys"
    except InputRefused:
        return None


def passphrase() -> bytes | None:
    """The passphrase of private keys, where MLOPS_KEY_PASSPHRASE gives one."""
    return os.environ.get(PASSPHRASE_VARIABLE, "").encode() or None


def new_key(name: str, share_in: Path | None, *, is_machine: bool = False) -> Signer:
    """Make a key pair; the public key is also written into `share_in`. InputRefused when there is one."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InputRefused(
            f"{name!r} can't name a key: take lower-case letters, digits and . _ @ + - like ada@corp.eu."
        )
    file = personal_folder() / f"{name}.key"
    for taken in (file, *([share_in / f"{name}.pub"] if share_in else [])):
        if taken.exists():
            raise InputRefused(f"{name} has a key already: {taken}. A key is never overwritten; take another name.")
    secret = passphrase()
    private = generate_private_key(SECP256R1())
    pem = private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(secret) if secret else NoEncryption()
    )
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in filter(None, (file.parent, share_in)) if is_machine else ():
        folder.mkdir(exist_ok=True)
        (folder / f"{name}{MACHINE_SUFFIX}").touch()  # first: the key is never a person's
    try:
        _create(file, pem, 0o600)
    except FileExistsError:
        raise InputRefused(f"{name} was given a key by another process just now: {file}.") from None
    made = _load(file, name)
    if share_in:
        share_in.mkdir(exist_ok=True)
        _create(share_in / f"{name}.pub", made.public.pem, 0o644)
    return made


def signer(store: Store, name: str | None = None, root: Path | None = None) -> Signer:
    """Who signs for `store`: `name`, by default this user, whose first key for a folder store is made on the way.

    InputRefused when there is no such private key, or when its signatures would not count for the store.
    """
    chosen = name or current_name()
    file = personal_folder() / f"{chosen}.key"
    if not file.exists():
        if name or not store.is_folder or TrustedKeys.of(store, root).named(chosen):
            raise InputRefused(
                f"The private key {file} isn't there, so nothing can be signed as {chosen}. "
                f"Bring it to this machine, or make a key pair with `mlops keys new {chosen}`."
            )
        try:
            new_key(chosen, share_in=None)
        except InputRefused:
            if not file.exists():  # otherwise another process was faster, with the same key for both
                raise
    found = _load(file, chosen)
    known = TrustedKeys.of(store, root).named(chosen)
    if known is None or known.fingerprint != found.public.fingerprint:
        raise InputRefused(
            f"A signature with {file} would not count for {store.uri}: "
            + (f"keys/{chosen}.pub is another key. Bring the private key that belongs to it." if known
               else f"commit its public key as keys/{chosen}.pub first.")
        )  # fmt: skip
    if known.revoked:
        raise InputRefused(
            f"The key of {chosen} was revoked on {known.revoked.at:%Y-%m-%d}: {known.revoked.reason}. "
            "Make another under a name of its own, with `mlops keys new`."
        )
    return replace(found, public=known)


def _read_folder(folder: Path | None, origin: Origin) -> Iterator[PublicKey]:
    for file in sorted(folder.glob("*.pub")) if folder else ():
        yield _public(file, origin)


def _public(file: Path, origin: Origin) -> PublicKey:
    try:
        with file.open("rb") as stream:
            key = load_pem_public_key(stream.read(MAXIMUM_KEY_BYTES))
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise InputRefused(f"{file} is no public key in PEM: {error}. Replace or delete it.") from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise InputRefused(f"{file} is no elliptic curve key over P-256. Make one with `mlops keys new`.")
    if not re.fullmatch(NAME_PATTERN, file.stem):
        raise InputRefused(f"{file} has no name that a key can have: two spellings could be one person. Rename it.")
    is_machine = file.with_suffix(MACHINE_SUFFIX).exists()
    return PublicKey(file.stem, origin, _pem(key), key, read_revocation(file), is_machine)


def _load(file: Path, name: str) -> Signer:
    """A private key, and its public key beside it, written when a kill came between the two."""
    if file.stat().st_mode & 0o077:
        raise InputRefused(f"Others can read the private key {file}. Make a new one, or `chmod 600` it if you're sure.")
    try:
        private = load_pem_private_key(file.read_bytes(), passphrase())
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise InputRefused(f"The private key {file} can't be opened: {error}. Set {PASSPHRASE_VARIABLE}?") from error
    if not isinstance(private, EllipticCurvePrivateKey) or not isinstance(private.curve, SECP256R1):
        raise InputRefused(f"{file} is no elliptic curve key over P-256. Make one with `mlops keys new`.")
    key = private.public_key()
    beside = file.with_suffix(".pub")  # a name may hold dots: only the last suffix goes
    if not beside.exists():
        with suppress(FileExistsError):
            _create(beside, _pem(key), 0o644)
    return Signer(PublicKey(name, "this machine", _pem(key), key), file, private)


def _pem(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _create(file: Path, data: bytes, mode: int) -> None:
    """Write a file that isn't there yet, as a whole; FileExistsError when it is."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")  # 0600 from the start
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(mode)
        os.link(name, file)
    finally:
        os.unlink(name)
