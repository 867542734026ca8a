"""The signature of a release: made with model-signing over the manifest, which names every other byte by its digest.

The signature is a Sigstore bundle (a DSSE envelope around an in-toto statement), as the OpenSSF Model Signing
specification has it: `model_signing verify key` accepts it. Here it is verified with `cryptography` alone, because
model-signing costs a server or a preview 0.7 s and 40 MB to import, and Sigstore's client libraries with it.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec

from ml.bundle.bundle import MANIFEST_FILE, SIGNATURE_FILE, key_of
from ml.bundle.canonical import sha256
from ml.errors import ReleaseRefused
from ml.store import Store
from ml.trust.keys import PublicKey, Signer, TrustedKeys, passphrase

__all__ = ["copy_signature", "sign", "signature_key", "verify_signature"]

BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
MAXIMUM_BYTES: Final = 256 * 1024


class _KeyHint(msgspec.Struct):
    hint: str


class _Material(msgspec.Struct, rename="camel"):
    public_key: _KeyHint


class _Signature(msgspec.Struct):
    sig: bytes


class _Envelope(msgspec.Struct, rename="camel"):
    payload: bytes
    payload_type: str
    signatures: list[_Signature]


class _SigstoreBundle(msgspec.Struct, rename="camel"):
    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope


class _Resource(msgspec.Struct):
    name: str
    algorithm: str
    digest: str


class _Predicate(msgspec.Struct):
    resources: list[_Resource]


class _Subject(msgspec.Struct):
    name: str
    digest: dict[str, str]


class _Statement(msgspec.Struct, rename="camel"):
    type_: str = msgspec.field(name="_type")
    subject: list[_Subject]
    predicate_type: str
    predicate: _Predicate


# Made once, here: a server loads releases in threads, see `ml.serving.protocols.body.envelope`.
BUNDLE: Final = msgspec.json.Decoder(_SigstoreBundle)
STATEMENT: Final = msgspec.json.Decoder(_Statement)


def signature_key(digest: str) -> str:
    """Where the signature of a release is: with its bundle, so that a platform that copies one has all it needs."""
    return f"{key_of(digest)}/{SIGNATURE_FILE}"


def sign(store: Store, manifest: bytes, signer: Signer, trusted: TrustedKeys) -> PublicKey:
    """Sign a manifest and keep the signature in the store; who signed a release first stays its author."""
    digest = sha256(manifest)
    if store.exists(signature_key(digest)):
        try:
            author = verify_signature(store, digest, trusted)
            if author.revoked is None:
                return author
        except ReleaseRefused:
            pass  # damaged, or of a key that counts no longer: this one replaces it
    from model_signing.signing import Config  # heavy, and only whoever releases needs it

    with tempfile.TemporaryDirectory() as folder:
        file, signature = Path(folder) / MANIFEST_FILE, Path(folder) / "signature"
        file.write_bytes(manifest)
        password: Any = passphrase()  # its annotation says str, but it hands the value on to where bytes are wanted
        Config().use_elliptic_key_signer(private_key=signer.file, password=password).sign(file, signature)
        store.write(signature_key(digest), signature.read_bytes())
    return verify_signature(store, digest, trusted)


def copy_signature(source: Store, target: Store, digest: str) -> None:
    """Bring a release's signature into another store."""
    target.write(signature_key(digest), _read(source, digest))


def verify_signature(store: Store, digest: str, trusted: TrustedKeys) -> PublicKey:
    """Whose valid signature a release in the store carries; ReleaseRefused when nobody's whose signature counts.

    Says nothing about the bundle's other bytes: `ml.bundle.bundle.verify` and `fetch` do. A key that was revoked still
    says whose it was; whether the release is older than that, only a ledger can say (`ml.release.policy`).
    """
    where = store.url(signature_key(digest))
    try:
        bundle = BUNDLE.decode(_read(store, digest))
    except msgspec.MsgspecError as error:
        raise ReleaseRefused(f"{where} is no signature: {error}. Restore it, or release the model again.") from error
    fingerprint = bundle.verification_material.public_key.hint
    key = trusted.with_fingerprint(fingerprint)
    if key is None:
        known = ", ".join(k.name for k in trusted) or "nobody"
        raise ReleaseRefused(
            f"The release {digest} is signed with the key {fingerprint[:16]}…, which is not one that counts for "
            f"{store.uri} ({known}). If its owner may release, commit the public key into keys/."
        )
    envelope = bundle.dsse_envelope
    signed = _pre_authentication(envelope.payload_type, envelope.payload)
    if bundle.media_type != BUNDLE_TYPE or len(envelope.signatures) != 1:
        raise ReleaseRefused(f"{where} is no Sigstore bundle {BUNDLE_TYPE} with one signature.")
    if not key.verifies(envelope.signatures[0].sig, signed) or not _is_about(envelope, digest):
        raise ReleaseRefused(
            f"{where} is not {key.name}'s signature of the release {digest}: it was altered, or belongs to another "
            "release. Restore it, or release the model again."
        )
    return key


def _read(store: Store, digest: str) -> bytes:
    key = signature_key(digest)
    try:
        with store.open(key) as file:
            data = file.read(MAXIMUM_BYTES + 1)
    except FileNotFoundError as error:
        raise ReleaseRefused(
            f"The release {digest} is not signed: there is no {store.url(key)}. "
            "`mlops release` signs what it releases; run it again."
        ) from error
    if len(data) > MAXIMUM_BYTES:
        raise ReleaseRefused(f"{store.url(key)} is larger than {MAXIMUM_BYTES} bytes: that is no signature.")
    return data


def _pre_authentication(kind: str, payload: bytes) -> bytes:
    """What is signed; see the PAE of https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


def _is_about(envelope: _Envelope, digest: str) -> bool:
    """Whether the signed statement names the manifest with that digest, and nothing else."""
    try:
        statement = STATEMENT.decode(envelope.payload)
    except msgspec.MsgspecError:
        return False
    hexadecimal = digest.removeprefix("sha256:")
    root = hashlib.sha256(bytes.fromhex(hexadecimal)).hexdigest()  # over the digests of all resources: of the one
    return (
        envelope.payload_type == PAYLOAD_TYPE
        and statement.type_ == STATEMENT_TYPE
        and statement.predicate_type == PREDICATE_TYPE
        and statement.predicate.resources == [_Resource(".", "sha256", hexadecimal)]
        and statement.subject == [_Subject(MANIFEST_FILE, {"sha256": root})]
    )
