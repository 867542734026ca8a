"""A release is exactly the bytes that its digest names: two builds agree, and any difference is refused by name."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.bundle.bundle import bundle_digest, canonical, digest_of, fetch, key_of, publish, read_manifest, verify
from ml.bundle.manifest import Gate, Manifest
from ml.bundle.schema import BundleSchema
from ml.errors import ReleaseRefused
from ml.problem import Problem
from ml.release.build import Origin, build
from ml.store import Store

FILES = [
    "evaluation.json",
    "explanation.json",
    "model/MLmodel",
    "model/model.pkl",
    "model_card.md",
    "reference.parquet",
    "schema.json",
    "scorer.json",
    "scorer.npz",
]
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def manifest_of(folder: Path) -> Manifest:
    return Manifest.model_validate_json((folder / "manifest.json").read_bytes())


def test_a_bundle_holds_what_serving_and_monitoring_need(built: Path) -> None:
    assert sorted(manifest_of(built).files) == FILES
    assert (built / "manifest.json").read_bytes() == canonical(manifest_of(built))


def test_the_same_candidate_trained_twice_gives_the_same_bundle_digest(
    tmp_path: Path, small_problem: Problem, make_candidate: Callable[..., None]
) -> None:
    digests = []
    for stamp in ("first", "second"):
        make_candidate(tmp_path / stamp, small_problem, stamp=stamp)
        origin = Origin(version=stamp, created_at=datetime.now(UTC), created_by=stamp, gates=())
        manifest = build(tmp_path / stamp, tmp_path / f"bundle-{stamp}", small_problem, origin)
        digests.append((manifest.bundle_digest, digest_of(manifest)))
    (first, first_release), (second, second_release) = digests
    assert first == second
    assert first_release != second_release


def test_publish_then_fetch_gives_the_same_bytes(store: Store, built: Path, tmp_path: Path) -> None:
    digest = publish(store, built)
    manifest = fetch(store, digest, tmp_path / "copy")
    assert (
        digest == digest_of(manifest) == f"sha256:{hashlib.sha256((built / 'manifest.json').read_bytes()).hexdigest()}"
    )
    for name in [*FILES, "manifest.json"]:
        assert (tmp_path / "copy" / name).read_bytes() == (built / name).read_bytes()
    assert verify(store, digest) == manifest == read_manifest(store, digest)


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_byte_of_any_file_is_refused_by_its_name(
    store: Store, published: str, tmp_path: Path, name: str
) -> None:
    key = f"{key_of(published)}/{name}"
    data = bytearray(store.read(key))
    data[len(data) // 2] ^= 1
    store.write(key, bytes(data))
    with pytest.raises(ReleaseRefused, match=f"{name} was altered"):
        fetch(store, published, tmp_path / "copy")
    with pytest.raises(ReleaseRefused, match=f"{name} was altered"):
        verify(store, published)
    assert not list(tmp_path.glob("*copy*"))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_by_its_name(store: Store, published: str, tmp_path: Path, name: str) -> None:
    store.delete(f"{key_of(published)}/{name}")
    for check in (lambda: fetch(store, published, tmp_path / "copy"), lambda: verify(store, published)):
        with pytest.raises(ReleaseRefused, match=f"{name} is missing"):
            check()


def test_an_extra_file_is_refused_by_its_name(store: Store, published: str, tmp_path: Path) -> None:
    store.write(f"{key_of(published)}/model/more.py", b"print()")
    for check in (lambda: fetch(store, published, tmp_path / "copy"), lambda: verify(store, published)):
        with pytest.raises(ReleaseRefused, match=r"model/more\.py does not belong"):
            check()


def test_an_altered_manifest_is_refused(store: Store, published: str) -> None:
    key = f"{key_of(published)}/manifest.json"
    store.write(key, store.read(key).replace(b'"someone@', b'"another@'))
    with pytest.raises(ReleaseRefused, match="was altered"):
        read_manifest(store, published)


def test_a_release_that_is_not_there_is_refused(store: Store) -> None:
    with pytest.raises(ReleaseRefused, match="is not in the store"):
        read_manifest(store, f"sha256:{'0' * 64}")


@pytest.mark.parametrize(
    "name", ["latest", "", "sha256:abc", f"sha256:{'A' * 64}", f"sha256:{'a' * 64}/..", "sha256:" + "a" * 64 + "\n"]
)
def test_only_a_digest_names_a_release(store: Store, name: str) -> None:
    with pytest.raises(ReleaseRefused, match="is not a release"):
        read_manifest(store, name)


@pytest.mark.parametrize(
    "name",
    [
        "../escape",
        "/etc/passwd",
        "a/../../b",
        "a//b",
        "./a",
        "a\\..\\b",
        "manifest.json",
        "",
        "a\n",
        "a" * 600,
        "a/",
        ".writing-1/a",
    ],
)
def test_a_manifest_that_names_a_path_outside_the_bundle_is_refused(
    store: Store, built: Path, tmp_path: Path, name: str
) -> None:
    files = {name: f"sha256:{'0' * 64}"}
    hostile = manifest_of(built).model_copy(update={"files": files, "bundle_digest": bundle_digest(files)})
    digest = digest_of(hostile)
    store.write(f"{key_of(digest)}/manifest.json", canonical(hostile))
    with pytest.raises(ReleaseRefused, match="no path inside a bundle"):
        fetch(store, digest, tmp_path / "in" / "copy")
    assert not (tmp_path / "in").exists()


def test_a_manifest_that_contradicts_itself_is_refused(store: Store, built: Path) -> None:
    wrong = manifest_of(built).model_copy(update={"bundle_digest": f"sha256:{'0' * 64}"})
    store.write(f"{key_of(digest_of(wrong))}/manifest.json", canonical(wrong))
    with pytest.raises(ReleaseRefused, match="contradicts itself"):
        verify(store, digest_of(wrong))


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b"[" * 10_000, b" " * (5 * 1024 * 1024)])
def test_a_manifest_that_is_none_is_refused(store: Store, data: bytes) -> None:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    store.write(f"{key_of(digest)}/manifest.json", data)
    with pytest.raises(ReleaseRefused):
        read_manifest(store, digest)


def test_a_link_in_a_folder_is_refused(store: Store, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes((bundle / "model_card.md").read_bytes())
    (bundle / "model_card.md").unlink()
    (bundle / "model_card.md").symlink_to(tmp_path / "secret")
    with pytest.raises(ReleaseRefused, match=r"model_card\.md .* is a link"):
        publish(store, bundle)


def test_an_altered_folder_is_not_published(store: Store, bundle: Path) -> None:
    (bundle / "model_card.md").write_text("better than it is")
    with pytest.raises(ReleaseRefused, match=r"model_card\.md was altered"):
        publish(store, bundle)
    assert not list(store.list())


def test_a_publish_that_is_killed_is_never_seen_and_can_be_repeated(
    store: Store, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    write, digest = Store.write, digest_of(manifest_of(built))
    for survives in range(len(FILES) + 1):
        left = [survives]

        def dying(self: Store, key: str, data: bytes, left: list[int] = left) -> None:
            if left[0] == 0:
                raise KilledError
            left[0] -= 1
            write(self, key, data)

        monkeypatch.setattr(Store, "write", dying)
        with pytest.raises(KilledError):
            publish(store, built)
        with pytest.raises(ReleaseRefused, match="is not in the store"):
            verify(store, digest)
    monkeypatch.setattr(Store, "write", write)
    assert publish(store, built) == publish(store, built) == digest
    verify(store, digest)


def test_a_spoiled_cache_is_fetched_again(store: Store, published: str, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    fetch(store, published, folder)
    kept = folder.stat().st_ino
    fetch(store, published, folder)
    assert folder.stat().st_ino == kept, "a good copy is kept"
    (folder / "model" / "model.pkl").write_bytes(b"evil")
    fetch(store, published, folder)
    verify(store, published)
    assert (folder / "model" / "model.pkl").read_bytes() == store.read(f"{key_of(published)}/model/model.pkl")


def test_a_manifest_from_before_a_field_was_added_keeps_its_digest(built: Path) -> None:
    old = json.loads((built / "manifest.json").read_bytes())
    assert "missed_by" not in old["gates"][0], "the gate was made without it"
    assert canonical(Manifest.model_validate(old)) == (built / "manifest.json").read_bytes()


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(
    names,
    numbers,
    st.dictionaries(names, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | numbers | names, max_size=4),
    st.datetimes(timezones=st.just(UTC)),
)
def test_a_manifest_survives_its_own_json(
    built: Path, who: str, number: float, parameters: dict[str, object], when: datetime
) -> None:
    changed = manifest_of(built).model_dump() | {
        "created_by": who,
        "created_at": when,
        "parameters": parameters,
        "decision_threshold": number,
        "gates": [Gate(name=who, measured=number, demanded=who, result="passed").model_dump()],
    }
    manifest = Manifest.model_validate(changed)
    assert canonical(Manifest.model_validate_json(canonical(manifest))) == canonical(manifest)


def test_the_schema_of_a_bundle_is_that_of_the_problem(built: Path, small_problem: Problem) -> None:
    schema = BundleSchema.parse((built / "schema.json").read_bytes())
    assert [feature.name for feature in schema.features] == small_problem.feature_names
    assert schema.row["required"] == small_problem.feature_names
    with pytest.raises(ReleaseRefused, match="schema"):
        BundleSchema.parse(b"{}")


def test_the_model_card_says_what_it_is_not_for(built: Path, small_problem: Problem) -> None:
    card = (built / "model_card.md").read_text(encoding="utf-8")
    assert small_problem.decision.not_for in card
    assert all(attribute.column in card for attribute in small_problem.protected)
