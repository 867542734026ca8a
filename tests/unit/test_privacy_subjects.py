"""Pseudonyms: keyed, stable, of one environment, and their key made once and readable by its owner alone."""

import hashlib
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import InputRefused
from ml.store import Store
from ml.subjects import KEY, Pseudonyms, pseudonym

KEY_OF_FOUR = """
import sys
from ml.store import Store
from ml.subjects import pseudonym
print(pseudonym(Store(sys.argv[1]), "4711"))
"""


def test_a_pseudonym_is_stable_and_says_nothing_without_the_key(store: Store) -> None:
    first = pseudonym(store, "4711")
    assert first == Pseudonyms(store).of("4711") != pseudonym(store, "4712")
    assert first != hashlib.sha256(b"4711").hexdigest()
    assert len(first) == 64


def test_two_environments_give_two_pseudonyms(tmp_path: Path) -> None:
    stores = [Store((tmp_path / name).as_uri()) for name in ("dev", "prod")]
    assert len({pseudonym(store, "4711") for store in stores}) == 2


def test_the_key_is_its_owners_alone(store: Store) -> None:
    pseudonym(store, "4711")
    file = Path(store.path(KEY))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_processes_that_start_at_once_agree_on_the_key(store: Store) -> None:
    runs = [
        subprocess.Popen([sys.executable, "-c", KEY_OF_FOUR, store.uri], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert len({run.communicate(timeout=60)[0] for run in runs}) == 1
    assert all(run.returncode == 0 for run in runs)


@pytest.mark.parametrize("name", ["", "   ", "x" * 257])
def test_what_names_nobody_is_refused(store: Store, name: str) -> None:
    with pytest.raises(InputRefused, match="1 to 256 characters"):
        pseudonym(store, name)


def test_one_name_typed_in_two_ways_is_one_person(store: Store) -> None:
    assert pseudonym(store, " Zoë ") == pseudonym(store, "Zoë")


@given(name=st.text(min_size=1, max_size=200).filter(str.strip))
def test_every_name_has_one(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    store = Store((tmp_path_factory.getbasetemp() / "names").as_uri())
    assert pseudonym(store, name) == pseudonym(store, name)
