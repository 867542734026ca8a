"""The object store is the same on a folder and in a cloud (fsspec's memory stands for one)."""

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml.store import Store


@pytest.fixture(params=["folder", "cloud"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path.as_uri() if request.param == "folder" else f"memory://{uuid.uuid4().hex}")
    yield store
    if request.param == "cloud":
        for key in list(store.list()):
            store.delete(key)


def test_what_is_written_is_read_and_listed(any_store: Store) -> None:
    any_store.write("a/b/one", b"1")
    any_store.write("a/two", b"2")
    any_store.write("a/two", b"3")
    any_store.write("ab", b"4")
    assert any_store.read("a/two") == b"3"
    assert list(any_store.list("a")) == ["a/b/one", "a/two"]
    assert list(any_store.list()) == ["a/b/one", "a/two", "ab"]
    assert any_store.exists("a/b")
    with any_store.open("a/b/one") as file:
        assert file.read() == b"1"


def test_nothing_is_no_error_to_list_and_delete_but_to_read(any_store: Store, tmp_path: Path) -> None:
    assert list(any_store.list("nothing")) == []
    any_store.delete("nothing")
    assert not any_store.exists("nothing")
    for read in (any_store.read, any_store.open):
        with pytest.raises(FileNotFoundError):
            read("nothing")
    with pytest.raises(FileNotFoundError):
        any_store.download("nothing", tmp_path / "copy")


def test_create_refuses_what_is_there(any_store: Store) -> None:
    any_store.create("a/one", b"first")
    with pytest.raises(FileExistsError):
        any_store.create("a/one", b"second")
    assert any_store.read("a/one") == b"first"
    assert list(any_store.list()) == ["a/one"]


def test_of_many_that_create_at_once_one_succeeds(tmp_path: Path) -> None:
    store, barrier, winners = Store(tmp_path.as_uri()), threading.Barrier(8), []

    def create(number: int) -> None:
        barrier.wait()
        try:
            store.create("one", str(number).encode() * 1000)
        except FileExistsError:
            return
        winners.append(number)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    assert store.read("one") == str(winners[0]).encode() * 1000


@pytest.mark.parametrize("key", ["../up", "/etc/passwd", "a/../../b", "", "."])
def test_a_key_outside_the_store_is_refused(any_store: Store, key: str) -> None:
    for use in (any_store.read, any_store.exists, any_store.delete, any_store.open, lambda k: any_store.write(k, b"")):
        with pytest.raises(ValueError, match="not a key inside"):
            use(key)


def test_a_folder_goes_up_and_comes_down_as_it_was(any_store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "x").write_bytes(b"\0\xff")
    (source / "empty").write_bytes(b"")
    any_store.upload(source, "kept/here")
    any_store.download("kept/here", tmp_path / "copy")
    found = {
        p.relative_to(tmp_path / "copy").as_posix(): p.read_bytes()
        for p in (tmp_path / "copy").rglob("*")
        if p.is_file()
    }
    assert found == {"deep/er/x": b"\0\xff", "empty": b""}


def test_a_write_that_is_cut_short_leaves_the_object_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path.as_uri())
    store.write("a/one", b"whole")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", die)
    with pytest.raises(KeyboardInterrupt):
        store.write("a/one", b"ha")
    assert store.read("a/one") == b"whole"
    assert list(store.list()) == ["a/one"]
