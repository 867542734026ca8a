"""Key pairs: where they are, who may read them, and whose signatures count where."""

import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml.errors import InputRefused
from ml.store import Store
from ml.trust import keys
from ml.trust.keys import TrustedKeys, new_key, personal_folder, shared_folder, signer
from ml.trust.people import is_same_person, key_name
from ml.trust.revocation import Revocation


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MLOPS_SIGN_AS")
    return tmp_path / "config"


@pytest.fixture
def shared_store() -> Store:
    """A store that is no folder of this machine."""
    return Store("memory://shared")


def test_the_private_key_is_the_users_alone_and_only_the_public_one_is_shared(tmp_path: Path) -> None:
    made = new_key("ada", share_in=tmp_path / "keys")
    assert stat.S_IMODE(made.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.file.parent.stat().st_mode) == 0o700
    assert sorted(p.name for p in made.file.parent.iterdir()) == ["ada.key", "ada.pub"]
    assert [p.name for p in (tmp_path / "keys").iterdir()] == ["ada.pub"]
    assert b"PRIVATE" not in (tmp_path / "keys" / "ada.pub").read_bytes()


def test_a_signature_is_verified_by_its_own_key_and_its_own_data_alone(tmp_path: Path) -> None:
    ada, bob = new_key("ada", None), new_key("bob", None)
    signature = ada.sign(b"data")
    assert ada.public.verifies(signature, b"data")
    assert not ada.public.verifies(signature, b"Data")
    assert not bob.public.verifies(signature, b"data")
    assert not ada.public.verifies(b"", b"data")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    before = new_key("ada", tmp_path / "keys").file.read_bytes()
    with pytest.raises(InputRefused, match="has a key already"):
        new_key("ada", None)
    (personal_folder() / "ada.key").unlink()
    with pytest.raises(InputRefused, match=r"keys/ada\.pub"):
        new_key("ada", tmp_path / "keys")
    assert before


@pytest.mark.parametrize("name", ["", "../ada", "Ada", "a/b", ".ada", "-ada", "a b", "ada\n", "x" * 101])
def test_a_name_that_is_no_plain_file_name_is_refused(name: str) -> None:
    with pytest.raises(InputRefused, match="can't name a key"):
        new_key(name, None)
    assert not personal_folder().exists()


@pytest.mark.parametrize(
    ("person", "name"), [("Ada@Corp.EU", "ada@corp.eu"), ("Åda Løve", "da-l-ve"), ("../../x", "x"), ("", "unknown")]
)
def test_a_person_becomes_a_name(person: str, name: str) -> None:
    assert key_name(person) == name


def test_a_passphrase_locks_the_private_key(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_KEY_PASSPHRASE", "secret")
    made = new_key("ada", None)
    assert b"ENCRYPTED" in made.file.read_bytes()
    assert signer(store, "ada", tmp_path).public.fingerprint == made.public.fingerprint
    for wrong in ("other", ""):
        monkeypatch.setenv("MLOPS_KEY_PASSPHRASE", wrong)
        with pytest.raises(InputRefused, match="can't be opened"):
            signer(store, "ada", tmp_path)


def test_a_private_key_that_others_can_read_is_refused(store: Store, tmp_path: Path) -> None:
    new_key("ada", None).file.chmod(0o640)
    with pytest.raises(InputRefused, match="Others can read"):
        signer(store, "ada", tmp_path)


def test_the_first_key_on_a_laptop_is_made_by_itself_and_leaves_the_checkout_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "current_name", lambda: "ada")
    first = signer(store, root=tmp_path)
    assert signer(store, root=tmp_path).public.fingerprint == first.public.fingerprint
    assert not (tmp_path / "keys").exists()


def test_nothing_is_made_for_a_shared_store_or_for_somebody_else(
    store: Store, shared_store: Store, tmp_path: Path
) -> None:
    for where, name in ((shared_store, None), (store, "bob")):
        with pytest.raises(InputRefused, match="mlops keys new"):
            signer(where, name, tmp_path)
    assert not personal_folder().exists()


def test_a_key_of_this_machine_counts_for_its_folders_and_not_for_a_shared_store(
    store: Store, shared_store: Store, tmp_path: Path
) -> None:
    new_key("ada", None)
    assert TrustedKeys.of(store, tmp_path).named("ada")
    assert not TrustedKeys.of(shared_store, tmp_path).named("ada")
    with pytest.raises(InputRefused, match="would not count"):
        signer(shared_store, "ada", tmp_path)


def test_a_committed_key_counts_everywhere(shared_store: Store, tmp_path: Path) -> None:
    made = new_key("ada", tmp_path / "keys")
    assert signer(shared_store, "ada", tmp_path).public.fingerprint == made.public.fingerprint


def test_the_organisations_key_wins_over_one_of_the_same_name(store: Store, tmp_path: Path) -> None:
    official = new_key("ada", tmp_path / "keys").public.fingerprint
    for file in personal_folder().iterdir():
        file.unlink()
    new_key("ada", None)
    assert [key.fingerprint for key in TrustedKeys.of(store, tmp_path)] == [official]
    with pytest.raises(InputRefused, match="is another key"):
        signer(store, "ada", tmp_path)


def test_one_key_under_two_names_is_refused(store: Store, shared_store: Store, tmp_path: Path) -> None:
    """Or its owner could approve their own release."""
    new_key("ada", tmp_path / "keys")
    (tmp_path / "keys" / "bob.pub").write_bytes((tmp_path / "keys" / "ada.pub").read_bytes())
    for where in (store, shared_store):  # with this user's own keys among them, and without
        with pytest.raises(InputRefused, match="belongs to one person"):
            TrustedKeys.of(where, tmp_path)


def test_from_the_moment_of_its_revocation_on_a_key_does_not_count() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    key = replace(new_key("ada", None).public, revoked=Revocation(at=at, reason="laptop stolen"))
    assert key.counts_at(at - timedelta(microseconds=1))
    assert not key.counts_at(at)


@pytest.mark.parametrize("data", [b"", b"not a key", b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n"])
def test_a_public_key_that_is_none_is_named(store: Store, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "eve.pub").write_bytes(data)
    with pytest.raises(InputRefused, match=r"eve\.pub is no public key"):
        TrustedKeys.of(store, tmp_path)


def test_a_kill_between_private_and_public_key_is_mended(store: Store, tmp_path: Path) -> None:
    made = new_key("ada", None)
    made.file.with_suffix(".pub").unlink()
    assert signer(store, "ada", tmp_path).public.fingerprint == made.public.fingerprint
    assert TrustedKeys.of(store, tmp_path).named("ada")


def test_an_image_without_a_checkout_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shared_folder() is None
    monkeypatch.setenv("MLOPS_TRUSTED_KEYS", str(tmp_path / "trusted"))
    assert shared_folder() == tmp_path / "trusted"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ada@corp.eu", "Ada@Corp.EU ", True),
        ("ada@corp.eu", "ada+laptop@corp.eu", True),
        ("ada@corp.eu", "\uff21da@corp.eu", True),
        ("ada@corp.eu", "ada@corp.eu.", True),
        ("ada@corp.eu", "ada", True),
        ("ada@corp.eu", "ada@other.eu", False),
        ("ada@corp.eu", "adam@corp.eu", False),
        ("ada", "bob", False),
    ],
)
def test_one_person_under_two_spellings_is_one(one: str, other: str, same: bool) -> None:
    assert is_same_person(one, other) is is_same_person(other, one) is same


def test_a_committed_key_whose_name_is_another_spelling_is_refused(store: Store, tmp_path: Path) -> None:
    new_key("ada@corp.eu", tmp_path / "keys")
    other = new_key("bob", None)
    (tmp_path / "keys" / "Ada@Corp.EU.pub").write_bytes(other.public.pem)
    with pytest.raises(InputRefused, match=r"Ada@Corp\.EU\.pub has no name .*Rename it"):
        TrustedKeys.of(store, tmp_path)


def test_a_machines_key_is_one_wherever_it_is_read(tmp_path: Path) -> None:
    made = new_key("ci@corp.eu", tmp_path / "keys", is_machine=True)
    assert (tmp_path / "keys" / "ci@corp.eu.machine").exists()
    store = Store((tmp_path / "store").as_uri())
    assert made.public.name == "ci@corp.eu"
    assert signer(store, "ci@corp.eu", tmp_path).public.is_machine
    new_key("ada", tmp_path / "keys")
    assert {key.name: key.is_machine for key in TrustedKeys.of(store, tmp_path)} == {"ada": False, "ci@corp.eu": True}
