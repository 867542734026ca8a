"""The ledger's laws: what is recorded is read back, any other byte shows, and neither writers nor kills break it."""

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.store import Store
from ml.trust.keys import Signer, TrustedKeys, new_key
from ml.trust.ledger import Entry, Ledger, LedgerBroken, LedgerCut
from ml.trust.witness import Head, forget, look, note
from tests.stages import APPROVER, AUTHOR, person

pytestmark = pytest.mark.slow

RELEASE = "sha256:" + "a" * 64
FORK = multiprocessing.get_context("fork")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def opened(store: Store, tmp_path: Path) -> Callable[[], Ledger]:
    """Opens the ledger anew, as another process would."""
    person(store, AUTHOR, tmp_path)
    person(store, APPROVER, tmp_path)
    return lambda: Ledger(Store(store.uri), "local-dev", "dev", TrustedKeys.of(store, tmp_path))


@pytest.fixture
def author(store: Store, tmp_path: Path) -> Signer:
    return person(store, AUTHOR, tmp_path)


@pytest.fixture
def three(opened: Callable[[], Ledger], author: Signer) -> list[Entry]:
    ledger = opened()
    return [ledger.append("gated", author, RELEASE, {"passed": number}) for number in range(3)]


def file(store: Store, number: int) -> Path:
    return Path(store.path(f"ledger/{number:08d}.json"))


def test_an_empty_ledger_has_no_entries(opened: Callable[[], Ledger]) -> None:
    assert opened().entries() == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(details=st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=3), min_size=1, max_size=4))
def test_what_is_recorded_is_read_back(
    opened: Callable[[], Ledger], author: Signer, details: list[dict[str, Any]]
) -> None:
    before = len(opened().entries())
    written = [opened().append("gated", author, RELEASE, each) for each in details]
    read = opened().entries()
    assert list(read[before:]) == written
    assert [entry.details for entry in read[before:]] == details
    assert [entry.sequence for entry in read] == list(range(1, len(read) + 1))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(number=st.integers(1, 3), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_shows(
    store: Store, opened: Callable[[], Ledger], three: list[Entry], number: int, where: float, bit: int
) -> None:
    path = file(store, number)
    before = path.read_bytes()
    data = bytearray(before)
    data[int(where * len(data))] ^= 1 << bit
    path.write_bytes(data)
    try:
        with pytest.raises(LedgerBroken, match=path.name):
            opened().entries()
    finally:
        path.write_bytes(before)


def test_a_signature_has_one_text(store: Store, opened: Callable[[], Ledger], author: Signer) -> None:
    """The bits that base64's padding leaves unused are no place to hide a change in the newest entry."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for number in range(1, 50):  # a signature's length varies: not each has such bits
        entry = opened().append("gated", author, RELEASE)
        last = entry.signature.rstrip("=")[-1:]
        if len(entry.signature) != len(entry.signature.rstrip("=")):
            changed = entry.signature.rstrip("=")[:-1] + alphabet[alphabet.index(last) + 1]
            written = entry.model_copy(update={"signature": changed.ljust(len(entry.signature), "=")})
            file(store, number).write_bytes(written.data)
            with pytest.raises(LedgerBroken, match="not signed by"):
                opened().entries()
            return
    raise AssertionError("no signature was padded")


@pytest.mark.parametrize("number", [1, 2])
def test_a_missing_entry_shows_and_nothing_is_recorded_behind_it(
    store: Store, opened: Callable[[], Ledger], three: list[Entry], author: Signer, number: int
) -> None:
    file(store, number).unlink()
    with pytest.raises(LedgerBroken, match="missing"):
        opened().entries()
    with pytest.raises(LedgerBroken, match="missing"):
        opened().append("gated", author, RELEASE)
    assert not file(store, 4).exists()


def test_exchanged_doubled_and_foreign_entries_show(
    store: Store, opened: Callable[[], Ledger], three: list[Entry]
) -> None:
    first, second = file(store, 1).read_bytes(), file(store, 2).read_bytes()
    file(store, 1).write_bytes(second)
    file(store, 2).write_bytes(first)
    with pytest.raises(LedgerBroken, match="number 2"):
        opened().entries()
    file(store, 1).write_bytes(first)
    with pytest.raises(LedgerBroken, match="number 1"):
        opened().entries()
    file(store, 2).write_bytes(second)
    store.write("ledger/note.txt", b"")
    with pytest.raises(LedgerBroken, match=r"note\.txt"):
        opened().entries()


def test_the_ledger_of_another_stack_is_not_this_ones(store: Store, three: list[Entry], tmp_path: Path) -> None:
    """DEV's evidence copied into PROD's store is worth nothing there."""
    for stack, environment in (("local-prod", "prod"), ("local-dev", "prod")):
        with pytest.raises(LedgerBroken, match="not of"):
            Ledger(store, stack, environment, TrustedKeys.of(store, tmp_path)).entries()


def test_an_entry_counts_only_with_its_actors_own_trusted_signature(
    store: Store, opened: Callable[[], Ledger], three: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = opened()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    ledger.trusted.add(new_key("mallory", None).public)
    mallory = person(store, "mallory", tmp_path)
    entry = ledger.append("retired", mallory, RELEASE)
    monkeypatch.undo()
    with pytest.raises(LedgerBroken, match="not signed by mallory"):
        opened().entries()
    forged = entry.model_copy(update={"actor": AUTHOR, "key": three[0].key})
    file(store, 4).write_bytes(forged.data)
    with pytest.raises(LedgerBroken, match=f"not signed by {AUTHOR}"):
        opened().entries()


def test_it_works_on_a_store_that_is_no_folder(author: Signer) -> None:
    store, trusted = Store("memory://ledger-test"), TrustedKeys([author.public])
    try:
        for _ in range(3):
            Ledger(store, "s", "dev", trusted).append("deployed", author, RELEASE)
        entries = Ledger(store, "s", "dev", trusted).entries()
        assert [entry.sequence for entry in entries] == [1, 2, 3]
        with pytest.raises(FileExistsError):
            store.create("ledger/00000003.json", b"")
    finally:
        store.delete("ledger")


def test_concurrent_writers_and_readers_see_one_chain(opened: Callable[[], Ledger], author: Signer) -> None:
    def write(name: str) -> None:
        ledger = opened()
        for number in range(10):
            ledger.append("gated", author, RELEASE, {"writer": name, "number": number})

    writers = [FORK.Process(target=write, args=(name,)) for name in "abcd"]
    for writer in writers:
        writer.start()
    reader, seen = opened(), 0
    while any(writer.is_alive() for writer in writers):
        seen = max(seen, len(reader.entries()))  # never broken, also while it grows
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    entries = opened().entries()
    assert len(entries) == 40 >= seen
    for name in "abcd":
        assert [e.details["number"] for e in entries if e.details["writer"] == name] == list(range(10))


def test_threads_share_a_ledger(opened: Callable[[], Ledger], author: Signer) -> None:
    ledger = opened()
    threads = [threading.Thread(target=lambda: ledger.append("gated", author, RELEASE)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened().entries()) == len(ledger.entries()) == 8


def test_a_killed_writer_leaves_an_entry_or_none(store: Store, opened: Callable[[], Ledger], author: Signer) -> None:
    def write_for_ever() -> None:
        ledger = opened()
        while True:
            ledger.append("gated", author, RELEASE)

    seeded = random.Random(4)  # noqa: S311 # delays, not secrets
    count = 0
    for _ in range(40):
        writer = FORK.Process(target=write_for_ever)
        writer.start()
        wanted = count + seeded.randint(0, 3)
        while len(list(store.list("ledger"))) < wanted:
            assert writer.is_alive()
        time.sleep(seeded.uniform(0, 0.01))  # the kill has to come at a random moment
        assert writer.pid
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        before, count = count, len(opened().entries())
        assert count >= max(before, wanted)
    opened().append("gated", author, RELEASE)
    assert len(opened().entries()) == count + 1


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_write_that_was_cut_at_any_byte_is_not_an_entry(
    store: Store, opened: Callable[[], Ledger], three: list[Entry], author: Signer, share: float
) -> None:
    data = three[-1].data
    file(store, 3).with_name(".writing-dead").write_bytes(data[: int(len(data) * share)])
    assert opened().append("gated", author, RELEASE).sequence == 4


def test_a_cut_off_end_can_not_be_seen_in_the_chain_alone(
    store: Store, opened: Callable[[], Ledger], three: list[Entry]
) -> None:
    """So whoever has not seen it must be told by somebody who has."""
    file(store, 3).unlink()
    forget(store.uri, "local-dev")
    assert len(opened().entries()) == 2


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_whoever_wrote_or_read_a_ledger_notices_that_its_end_is_gone_and_writes_nothing_behind_it(
    store: Store, opened: Callable[[], Ledger], three: list[Entry], author: Signer, lost: int
) -> None:
    kept = {number: file(store, number).read_bytes() for number in range(4 - lost, 4)}
    for number in kept:
        file(store, number).unlink()
    for _ in range(2):  # it does not get used to it
        with pytest.raises(LedgerCut, match=r"This machine.* knows entry 3 of the ledger .*was cut off"):
            opened().entries()
        with pytest.raises(LedgerCut):
            opened().append("gated", author, RELEASE)
    assert len(opened().chain()) == 3 - lost
    for number, data in kept.items():
        file(store, number).write_bytes(data)
    assert opened().append("gated", author, RELEASE).sequence == 4


def test_a_head_that_is_kept_elsewhere_tells_a_machine_that_has_never_seen_the_ledger(
    store: Store, three: list[Entry], tmp_path: Path
) -> None:
    trusted = TrustedKeys.of(store, tmp_path)

    def told(head: Head) -> Ledger:
        forget(store.uri, "local-dev")
        return Ledger(Store(store.uri), "local-dev", "dev", trusted, [head])

    assert told(three[1].head).entries() == tuple(three), "an older one is no harm"
    assert told(three[2].head).entries() == tuple(three)
    for wrong in (Head(4, three[2].digest, "x"), Head(2, three[2].digest, "x")):
        with pytest.raises(LedgerCut, match="X knows entry"):
            told(wrong).entries()
    file(store, 3).unlink()
    with pytest.raises(LedgerCut):
        told(three[2].head).entries()
    assert len(told(three[1].head).entries()) == 2


def test_a_writer_that_is_killed_before_it_is_noted_leaves_nobody_locked_out(
    store: Store, opened: Callable[[], Ledger], three: list[Entry], author: Signer
) -> None:
    """An entry is there before it is noted: a note is older than its ledger, or as old."""
    old = note(store.uri, "local-dev").read_bytes()
    opened().append("gated", author, RELEASE)
    for left in (old, old[: len(old) // 2], b""):
        note(store.uri, "local-dev").write_bytes(left)
        assert len(opened().entries()) == 4
        seen = look(store.uri, "local-dev")
        assert seen is not None
        assert seen.sequence == 4
