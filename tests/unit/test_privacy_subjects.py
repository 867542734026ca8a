"""Pseudonyms: keyed, stable, of one environment, and their key made once and readable by its owner alone."""

import hashlib
import stat
import subprocess
import sys
import unicodedata
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
    """A letter with its accent, and a letter and an accent: told apart by their code points alone."""
    assert pseudonym(store, " Zo\u00eb ") == pseudonym(store, "Zoe\u0308")


@given(names=st.tuples(*[st.text(min_size=1, max_size=60).map(str.strip).filter(bool)] * 2))
def test_two_people_share_a_pseudonym_only_where_they_share_a_name(
    tmp_path_factory: pytest.TempPathFactory, names: tuple[str, str]
) -> None:
    store = Store((tmp_path_factory.getbasetemp() / "names").as_uri())
    one, other = (unicodedata.normalize("NFC", name) for name in names)
    assert (pseudonym(store, one) == pseudonym(store, other)) is (one.strip() == other.strip())
    assert pseudonym(store, unicodedata.normalize("NFD", one)) == pseudonym(store, one)
