"""A release's signature: model-signing and this project agree on it, and nothing but it is accepted."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_signing.verifying import Config

from ml.bundle.canonical import sha256
from ml.errors import ReleaseRefused
from ml.store import Store
from ml.trust.keys import TrustedKeys, new_key
from ml.trust.signing import copy_signature, sign, signature_key, verify_signature
from tests.stages import APPROVER, AUTHOR, person

MANIFEST = b'{"a":1}'
DIGEST = sha256(MANIFEST)


@pytest.fixture
def trusted(store: Store, tmp_path: Path) -> TrustedKeys:
    """The author has signed MANIFEST in `store`."""
    author = person(store, AUTHOR, tmp_path)
    person(store, APPROVER, tmp_path)
    trusted = TrustedKeys.of(store, tmp_path)
    assert sign(store, MANIFEST, author, trusted).name == AUTHOR
    return trusted


def edit(store: Store, change: Callable[[dict[str, Any]], None]) -> None:
    signature = json.loads(store.read(signature_key(DIGEST)))
    change(signature)
    store.write(signature_key(DIGEST), json.dumps(signature).encode())


def test_model_signing_accepts_it(store: Store, trusted: TrustedKeys, tmp_path: Path) -> None:
    author = trusted.named(AUTHOR)
    assert author is not None
    (tmp_path / "manifest.json").write_bytes(MANIFEST)
    (tmp_path / "sig").write_bytes(store.read(signature_key(DIGEST)))
    (tmp_path / "key").write_bytes(author.pem)
    model_signing = Config().use_elliptic_key_verifier(public_key=tmp_path / "key")
    model_signing.verify(tmp_path / "manifest.json", tmp_path / "sig")
    (tmp_path / "manifest.json").write_bytes(MANIFEST + b" ")
    with pytest.raises(ValueError, match="mismatch"):
        model_signing.verify(tmp_path / "manifest.json", tmp_path / "sig")


def test_who_signed_first_stays_the_author(store: Store, trusted: TrustedKeys, tmp_path: Path) -> None:
    before = store.read(signature_key(DIGEST))
    assert sign(store, MANIFEST, person(store, APPROVER, tmp_path), trusted).name == AUTHOR
    assert store.read(signature_key(DIGEST)) == before


def test_a_damaged_signature_is_made_anew(store: Store, trusted: TrustedKeys, tmp_path: Path) -> None:
    store.write(signature_key(DIGEST), b"{")
    sign(store, MANIFEST, person(store, AUTHOR, tmp_path), trusted)
    assert verify_signature(store, DIGEST, trusted).name == AUTHOR


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(field=st.sampled_from(["payload", "sig"]), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_of_statement_or_signature_is_refused(
    store: Store, trusted: TrustedKeys, field: str, where: float, bit: int
) -> None:
    before = store.read(signature_key(DIGEST))

    def flip(signature: dict[str, Any]) -> None:
        holder = signature["dsseEnvelope"] if field == "payload" else signature["dsseEnvelope"]["signatures"][0]
        data = bytearray(base64.b64decode(holder[field]))
        data[int(where * len(data))] ^= 1 << bit
        holder[field] = base64.b64encode(data).decode()

    try:
        edit(store, flip)
        with pytest.raises(ReleaseRefused, match="was altered"):
            verify_signature(store, DIGEST, trusted)
    finally:
        store.write(signature_key(DIGEST), before)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=200), st.recursive(st.none() | st.text(), st.lists).map(json.dumps).map(str.encode)
    )
)
def test_whatever_stands_there_instead_is_refused_in_a_sentence(
    store: Store, trusted: TrustedKeys, data: bytes
) -> None:
    store.write(f"{signature_key(DIGEST)}", data)
    with pytest.raises(ReleaseRefused, match="is no signature"):
        verify_signature(store, DIGEST, trusted)


def test_the_signature_of_another_release_is_refused(store: Store, trusted: TrustedKeys, tmp_path: Path) -> None:
    sign(store, b"{}", person(store, AUTHOR, tmp_path), trusted)
    store.write(signature_key(DIGEST), store.read(signature_key(sha256(b"{}"))))
    with pytest.raises(ReleaseRefused, match="belongs to another release"):
        verify_signature(store, DIGEST, trusted)


def test_a_key_that_does_not_count_is_refused_whatever_it_claims(
    store: Store, trusted: TrustedKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    mallory = new_key("mallory", None)
    elsewhere = Store((tmp_path / "evil").as_uri())
    sign(elsewhere, MANIFEST, mallory, TrustedKeys.of(elsewhere, tmp_path))
    copy_signature(elsewhere, store, DIGEST)
    with pytest.raises(ReleaseRefused, match="not one that counts"):
        verify_signature(store, DIGEST, trusted)
    author = trusted.named(AUTHOR)
    assert author is not None
    edit(store, lambda s: s["verificationMaterial"]["publicKey"].update(hint=author.fingerprint))
    with pytest.raises(ReleaseRefused, match="was altered"):
        verify_signature(store, DIGEST, trusted)


OTHER_KINDS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another media type": lambda signature: signature.update(mediaType="x"),
    "no signature": lambda signature: signature["dsseEnvelope"]["signatures"].clear(),
    "two signatures": lambda signature: signature["dsseEnvelope"].update(
        signatures=signature["dsseEnvelope"]["signatures"] * 2
    ),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_another_kind_of_bundle_is_refused(store: Store, trusted: TrustedKeys, kind: str) -> None:
    edit(store, lambda signature: (OTHER_KINDS[kind](signature), None)[1])
    with pytest.raises(ReleaseRefused, match="is no Sigstore bundle"):
        verify_signature(store, DIGEST, trusted)


def test_an_unsigned_release_and_a_monstrous_signature_are_refused(store: Store, trusted: TrustedKeys) -> None:
    with pytest.raises(ReleaseRefused, match="is not signed"):
        verify_signature(store, sha256(b"other"), trusted)
    store.write(signature_key(DIGEST), b" " * (256 * 1024 + 1))
    with pytest.raises(ReleaseRefused, match="larger than"):
        verify_signature(store, DIGEST, trusted)
