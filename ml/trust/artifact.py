"""A release as a platform hands it to a container: a copy of one bundle, to be verified before it is used."""

from ml.bundle.bundle import MANIFEST_FILE, MAXIMUM_MANIFEST_BYTES, SIGNATURE_FILE, key_of, read_manifest, verify
from ml.bundle.canonical import sha256
from ml.errors import InputRefused, MlopsError, ReleaseRefused
from ml.store import Store
from ml.trust.keys import TrustedKeys
from ml.trust.signing import signature_key, verify_signature

__all__ = ["adopt", "holds_bundle"]


def holds_bundle(artifact: Store) -> bool:
    """Whether a bundle lies there."""
    return artifact.exists(MANIFEST_FILE)


def adopt(artifact: Store, store: Store, expected: str | None) -> str:
    """Copy the bundle that lies at `artifact` into `store`; its digest, once that and its signature are verified.

    Only what the manifest names is copied: platforms leave files of their own beside it. ReleaseRefused when it is not
    `expected`, where that is given, when a byte differs, or when nobody whose signature counts has signed it. A key
    that was revoked counts for a release that is `expected`, by its digest, alone.
    """
    try:
        with artifact.open(MANIFEST_FILE) as file:
            manifest = file.read(MAXIMUM_MANIFEST_BYTES + 1)
    except FileNotFoundError:
        raise InputRefused(
            f"{artifact.uri} holds no release: there is no {MANIFEST_FILE}. Hand over a bundle as it lies in a store, "
            "bundles/sha256/…; what a training leaves is released with `mlops release` first."
        ) from None
    except Exception as error:  # each cloud's library has errors of its own
        raise MlopsError(f"The release at {artifact.uri} can't be read: {type(error).__name__}: {error}") from error
    digest = sha256(manifest)
    if expected is not None and digest != expected:
        raise ReleaseRefused(f"{artifact.uri} holds the release {digest}, but {expected} is what shall be served.")
    store.write(f"{key_of(digest)}/{MANIFEST_FILE}", manifest)
    for name in read_manifest(store, digest).files:
        _copy(artifact, name, store, f"{key_of(digest)}/{name}")
    _copy(artifact, SIGNATURE_FILE, store, signature_key(digest))
    author = verify_signature(store, digest, TrustedKeys.of(store))
    if author.revoked and expected is None:
        raise ReleaseRefused(
            f"The release at {artifact.uri} is signed with the key of {author.name}, which was revoked on "
            f"{author.revoked.at:%Y-%m-%d}. State the digest that shall be served, or hand over another release."
        )
    verify(store, digest)
    return digest


def _copy(artifact: Store, name: str, store: Store, key: str) -> None:
    """Copy a file; one that is missing is named by the check of the whole."""
    try:
        data = artifact.read(name)
    except FileNotFoundError:
        store.delete(key)
    except Exception as error:
        raise MlopsError(f"{name} at {artifact.uri} can't be read: {type(error).__name__}: {error}") from error
    else:
        store.write(key, data)
