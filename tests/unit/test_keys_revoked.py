"""A key that was revoked: what it signed before still holds, and nothing that it signs afterwards counts."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.config import StackConfig
from infra.release import PinRefused, check
from ml.bundle.bundle import key_of
from ml.errors import InputRefused, ReleaseRefused
from ml.problem import Problem, load_problem
from ml.release.approve import approve
from ml.release.audit import audit
from ml.release.stage import Stage
from ml.store import Store
from ml.trust.artifact import adopt
from ml.trust.keys import TrustedKeys, new_key, personal_folder, signer
from ml.trust.keys_command import keys
from ml.trust.ledger import Ledger, LedgerBroken
from ml.trust.revocation import revoke
from ml.trust.signing import sign, signature_key
from ml.trust.witness import forget
from tests.stages import APPROVER, AUTHOR, release_into, stage


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of its own: a revocation must not reach other tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def revoked(tmp_path: Path) -> Callable[[str, datetime], None]:
    """Revoke somebody's key as of a time."""

    def run(name: str, at: datetime) -> None:
        (personal_folder() / f"{name}.revoked").unlink(missing_ok=True)
        revoke(personal_folder() / f"{name}.pub", at, "laptop stolen")

    return run


@pytest.fixture
def digest(tmp_path: Path, candidate: Path, small_problem: Problem) -> str:
    return release_into(stage(tmp_path, "dev"), candidate, small_problem)


def opened(root: Path) -> Stage:
    """DEV without making keys that are missing."""
    store = Store((root / "dev" / "store").as_uri())
    ledger = Ledger(store, "local-dev", "dev", TrustedKeys.of(store, root))
    return Stage("local-dev", "dev", store, root / "Pulumi.local-dev.yaml", ledger, root=root)


def preview(root: Path, digest: str) -> str | None:
    return check(StackConfig.parse("local-dev", {"mlops:release": digest}), (root / "dev" / "store").as_uri(), root)


def broken(where: Stage) -> dict[str, str]:
    return {finding.subject: finding.note for finding in audit(where) if not finding.holds}


def test_what_was_signed_before_still_holds(
    tmp_path: Path, digest: str, revoked: Callable[[str, datetime], None]
) -> None:
    revoked(AUTHOR, datetime.now(UTC))
    assert preview(tmp_path, digest) == digest
    assert broken(opened(tmp_path)) == {}


def test_nothing_more_is_signed_with_it(tmp_path: Path, digest: str, revoked: Callable[[str, datetime], None]) -> None:
    revoked(AUTHOR, datetime.now(UTC))
    with pytest.raises(InputRefused, match=r"key of author@example.org was revoked on .*: laptop stolen.*keys new"):
        signer(opened(tmp_path).store, AUTHOR, tmp_path)


def test_a_ledger_entry_of_afterwards_counts_for_nothing_and_stops_nobody(
    tmp_path: Path, digest: str, revoked: Callable[[str, datetime], None]
) -> None:
    """Whoever stole the key doesn't ask the command whether they may; nor do they end what others do."""
    where = opened(tmp_path)
    thief = where.signer(AUTHOR)
    revoked(AUTHOR, datetime.now(UTC))
    where.ledger.append("approved", thief, digest, {"expires_at": "2999-01-01T00:00:00+00:00"})
    assert [e.event for e in opened(tmp_path).ledger.entries()] == ["registered", "gated"]
    assert [e.event for e in opened(tmp_path).ledger.chain()] == ["registered", "gated", "approved"]
    assert broken(opened(tmp_path)).keys() == {"entry 3"}
    assert "after that key was revoked" in broken(opened(tmp_path))["entry 3"]
    assert preview(tmp_path, digest) == digest


def test_an_entry_that_is_dated_back_does_not_follow(
    tmp_path: Path, digest: str, revoked: Callable[[str, datetime], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = opened(tmp_path)
    thief = where.signer(AUTHOR)
    before = where.ledger.entries()[-1].at - timedelta(seconds=1)
    where.ledger.append("gated", stage(tmp_path, "dev").signer(APPROVER), digest, {"passed": True})
    unpatched = Ledger._next  # pyright: ignore[reportPrivateUsage]

    def dated_back(self: Ledger, *words: object) -> object:
        draft = unpatched(self, *words)  # type: ignore[arg-type]
        draft = draft.model_copy(update={"at": before, "signature": ""})
        import base64

        return draft.model_copy(update={"signature": base64.b64encode(thief.sign(draft.signed_data)).decode()})

    monkeypatch.setattr(Ledger, "_next", dated_back)
    where.ledger.append("approved", thief, digest)
    with pytest.raises(LedgerBroken, match="it says that it is older than entry 3"):
        opened(tmp_path).ledger.entries()


def test_a_clock_that_runs_behind_is_no_lie(tmp_path: Path, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Behind(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) - timedelta(minutes=3)

    monkeypatch.setattr("ml.trust.ledger.datetime", Behind)
    where = opened(tmp_path)
    where.ledger.append("gated", where.signer(AUTHOR), digest, {"passed": True})
    assert len(opened(tmp_path).ledger.entries()) == 3


def test_a_release_that_no_ledger_knew_before_is_refused_and_can_be_signed_again(
    tmp_path: Path, digest: str, revoked: Callable[[str, datetime], None]
) -> None:
    """A thief can write any date into a manifest; the ledger can't be written to any more."""
    where = stage(tmp_path, "dev")
    for key in list(where.store.list("ledger")):
        where.store.delete(key)
    forget(where.store.uri, "local-dev")
    revoked(AUTHOR, datetime.now(UTC))
    other = where.signer(APPROVER)
    ledger = opened(tmp_path).ledger
    ledger.append("registered", other, digest)
    ledger.append("gated", other, digest, {"passed": True, "checks": []})
    refusal = r"signed with the key of author@example.org, which was revoked on .*laptop stolen.*made before"
    with pytest.raises(PinRefused, match=refusal):
        preview(tmp_path, digest)
    with pytest.raises(ReleaseRefused, match=refusal):
        approve(opened(tmp_path), digest, 1, other, load_problem())
    assert "was revoked" in broken(opened(tmp_path))[digest]
    manifest = where.store.read(f"{key_of(digest)}/manifest.json")
    assert sign(where.store, manifest, other, opened(tmp_path).trusted).name == APPROVER
    assert preview(tmp_path, digest) == digest


def test_a_container_takes_it_only_by_its_digest(
    tmp_path: Path, digest: str, revoked: Callable[[str, datetime], None]
) -> None:
    revoked(AUTHOR, datetime.now(UTC))
    artifact = Store(f"{opened(tmp_path).store.uri}/{key_of(digest)}")
    own = Store((tmp_path / "container").as_uri())
    with pytest.raises(ReleaseRefused, match=r"was revoked on .*State the digest"):
        adopt(artifact, own, None)
    assert adopt(artifact, own, digest) == digest
    assert own.exists(signature_key(digest))


def test_keys_revoke_tells_where_and_since_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")
    new_key("ada", tmp_path / "keys")
    run = CliRunner().invoke
    done = run(keys, ["revoke", "ada", "--reason", "laptop stolen", "--since", "2026-01-02"])
    assert "since 2026-01-02 00:00 UTC" in done.stdout
    assert "commit it" in done.stdout
    assert [p.name for p in sorted((tmp_path / "keys").iterdir())] == ["ada.pub", "ada.revoked"]
    (listed,) = json.loads(run(keys, ["list", "--json"]).stdout)
    assert listed["revoked"] == {"at": "2026-01-02T00:00:00Z", "reason": "laptop stolen"}
    assert "revoked on 2026-01-02: laptop stolen" in run(keys, ["list"]).stdout
    for words, why in (
        (["bob", "--reason", "laptop stolen"], "no key of bob"),
        (["ada", "--reason", "laptop stolen"], "never later"),
        (["ada", "--reason", "laptop stolen", "--since", "2999-01-01"], "still to come"),
        (["ada", "--reason", "x", "--since", "2025-01-01"], "gives no reason"),
    ):
        with pytest.raises(InputRefused, match=why):
            run(keys, ["revoke", *words], catch_exceptions=False)
    assert run(keys, ["revoke", "ada", "--reason", "stolen earlier", "--since", "2025-01-01"]).exit_code == 0


@pytest.mark.parametrize("text", ["", "{", "{}", '{"at": "2026-01-01", "reason": "x"}'])
def test_a_revocation_that_can_not_be_read_is_never_passed_over(tmp_path: Path, store: Store, text: str) -> None:
    new_key("ada", None)
    (personal_folder() / "ada.revoked").write_text(text)
    with pytest.raises(InputRefused, match=r"ada\.revoked says that a key was revoked, but not since when"):
        TrustedKeys.of(store, tmp_path)
