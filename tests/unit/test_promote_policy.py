"""What `pulumi up` refuses at preview, each with its cause and its remedy; and what it lets pass."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.config import ConfigInvalid, StackConfig
from infra.release import PinRefused, check
from ml.errors import ReleaseRefused
from ml.problem import Problem
from ml.release.approve import approve
from ml.release.bundle import MANIFEST_FILE, key_of
from ml.release.keys import new_key
from ml.release.manifest import Gate
from ml.release.retire import retire
from ml.release.signing import signature_key
from ml.release.stage import Stage
from tests.stages import APPROVER, AUTHOR, PASSED, person, release_into, stage

Preview = Callable[[Stage, str], str | None]


@pytest.fixture
def preview(tmp_path: Path) -> Preview:
    def run(where: Stage, digest: str) -> str | None:
        config = StackConfig.parse(where.stack, {"mlops:release": digest})
        return check(config, where.store.uri, tmp_path)

    return run


@pytest.fixture
def dev(tmp_path: Path) -> Stage:
    return stage(tmp_path, "dev")


@pytest.fixture
def digest(dev: Stage, candidate: Path, small_problem: Problem) -> str:
    return release_into(dev, candidate, small_problem)


def brought(source: Stage, target: Stage, digest: str) -> None:
    """What `mlops promote` leaves, without its checks, which need the model's libraries."""
    source.store.filesystem.copy(source.store.path("bundles"), target.store.path("bundles"), recursive=True)
    target.store.write(signature_key(digest), source.store.read(signature_key(digest)))
    evidence = next(e for e in reversed(source.ledger.entries()) if e.event == "gated")
    me = target.signer(AUTHOR)
    details = {"evidence": evidence.model_dump(mode="json"), "digest": evidence.digest}
    target.ledger.append("promoted", me, digest, details)
    target.ledger.append("gated", me, digest, {"passed": True, "checks": []})


@pytest.fixture
def prod(tmp_path: Path, dev: Stage, digest: str) -> Stage:
    """PROD, with a release that came from TEST and awaits approval."""
    test, prod = stage(tmp_path, "test"), stage(tmp_path, "prod")
    brought(dev, test, digest)
    brought(test, prod, digest)
    return prod


def test_a_released_digest_may_be_deployed_to_dev(preview: Preview, dev: Stage, digest: str) -> None:
    assert preview(dev, digest) == digest


def test_without_a_pin_there_is_nothing_to_check(dev: Stage, tmp_path: Path) -> None:
    assert check(StackConfig.parse("local-dev", {}), dev.store.uri, tmp_path) is None


def test_latest_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="pinned by digest"):
        StackConfig.parse("local-prod", {"mlops:release": "latest"})


def test_a_digest_that_is_not_in_the_store_is_refused(preview: Preview, dev: Stage, digest: str) -> None:
    with pytest.raises(PinRefused, match=r"Pulumi.local-dev.yaml.* is not in the store .*`mlops release`"):
        preview(dev, "sha256:" + "0" * 64)


@pytest.mark.parametrize("name", [MANIFEST_FILE, "model/model.pkl", "schema.json", "reference.parquet"])
def test_one_flipped_byte_is_refused(preview: Preview, dev: Stage, digest: str, name: str) -> None:
    file = Path(dev.store.path(f"{key_of(digest)}/{name}"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(PinRefused, match="was altered"):
        preview(dev, digest)


def test_an_unsigned_release_is_refused(preview: Preview, dev: Stage, digest: str) -> None:
    dev.store.delete(signature_key(digest))
    with pytest.raises(PinRefused, match=r"is not signed.*`mlops release`"):
        preview(dev, digest)


def test_a_manifest_whose_gates_failed_is_refused(
    preview: Preview, dev: Stage, candidate: Path, small_problem: Problem
) -> None:
    failed = Gate(name="fairness.SEX", measured=0.3, demanded="at most 0.1", missed_by=0.2, result="failed")
    digest = release_into(dev, candidate, small_problem, gates=(PASSED, failed))
    with pytest.raises(PinRefused, match=r"did not pass its gates: fairness\.SEX"):
        preview(dev, digest)


def test_a_manifest_without_gates_is_refused(
    preview: Preview, dev: Stage, candidate: Path, small_problem: Problem
) -> None:
    digest = release_into(dev, candidate, small_problem, gates=())
    with pytest.raises(PinRefused, match="it has none"):
        preview(dev, digest)


@pytest.mark.parametrize(("days", "passes"), [(1, True), (-1, False)])
def test_a_waiver_counts_until_it_expires(
    preview: Preview, dev: Stage, candidate: Path, small_problem: Problem, days: int, passes: bool
) -> None:
    expires = datetime.now(UTC) + timedelta(days=days)
    waived = PASSED.model_copy(update={"result": "waived", "waiver_expires": expires})
    digest = release_into(dev, candidate, small_problem, gates=(waived,))
    if passes:
        assert preview(dev, digest) == digest
    else:
        with pytest.raises(PinRefused, match="waiver that has expired: roc_auc"):
            preview(dev, digest)


def test_a_bundle_that_was_only_copied_has_no_evidence(
    preview: Preview, dev: Stage, digest: str, tmp_path: Path
) -> None:
    test = stage(tmp_path, "test")
    test.store.filesystem.copy(dev.store.path("bundles"), test.store.path("bundles"), recursive=True)
    test.store.write(signature_key(digest), dev.store.read(signature_key(digest)))
    with pytest.raises(PinRefused, match=r"never promoted to local-test.*`mlops promote` from the dev stack"):
        preview(test, digest)


def test_evidence_of_the_wrong_environment_is_refused(
    preview: Preview, dev: Stage, digest: str, tmp_path: Path
) -> None:
    prod = stage(tmp_path, "prod")
    brought(dev, prod, digest)
    approve(prod, digest, 14, prod.signer(APPROVER))
    with pytest.raises(PinRefused, match=r"evidence of local-dev \(dev\), but prod demands that of test"):
        preview(prod, digest)


def test_evidence_that_was_touched_is_refused(preview: Preview, dev: Stage, digest: str, tmp_path: Path) -> None:
    """A promoter who edits DEV's failing entry into a passing one has no signature for it."""
    test = stage(tmp_path, "test")
    brought(dev, test, digest)
    evidence = dev.ledger.entries()[-1].model_copy(update={"actor": APPROVER})
    test.ledger.append("promoted", test.signer(AUTHOR), digest, {"evidence": evidence.model_dump(mode="json")})
    with pytest.raises(PinRefused, match="nobody whose signature counts signed it"):
        preview(test, digest)
    test.ledger.append("promoted", test.signer(AUTHOR), digest, {"evidence": "none"})
    with pytest.raises(PinRefused, match="can't be read"):
        preview(test, digest)


def test_a_release_that_failed_the_environments_own_checks_is_refused(
    preview: Preview, dev: Stage, digest: str, tmp_path: Path
) -> None:
    test = stage(tmp_path, "test")
    brought(dev, test, digest)
    assert preview(test, digest) == digest
    test.ledger.append("gated", test.signer(AUTHOR), digest, {"passed": False, "checks": []})
    with pytest.raises(PinRefused, match="passed the checks of local-test"):
        preview(test, digest)


def test_a_missing_approval_is_refused(preview: Preview, prod: Stage, digest: str) -> None:
    with pytest.raises(
        PinRefused, match=r"is not approved for prod.*`mlops approve --stack local-prod --release sha256:"
    ):
        preview(prod, digest)


def test_an_approval_of_somebody_else_is_enough(preview: Preview, prod: Stage, digest: str) -> None:
    approve(prod, digest, 14, prod.signer(APPROVER))
    assert preview(prod, digest) == digest


def test_an_approval_of_another_release_is_not(preview: Preview, prod: Stage, digest: str) -> None:
    expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    prod.ledger.append("approved", prod.signer(APPROVER), "sha256:" + "1" * 64, {"expires_at": expires})
    with pytest.raises(PinRefused, match="is not approved"):
        preview(prod, digest)


@pytest.mark.parametrize("made_by", [AUTHOR, "Maker@example.org", "author+laptop@example.org", "author"])
def test_a_self_approval_is_refused(
    preview: Preview, dev: Stage, tmp_path: Path, candidate: Path, small_problem: Problem, made_by: str
) -> None:
    """Neither who signed the release nor whom the manifest names, also where `mlops approve` was passed by."""
    digest = release_into(dev, candidate, small_problem, created_by=made_by)
    test, prod = stage(tmp_path, "test"), stage(tmp_path, "prod")
    brought(dev, test, digest)
    brought(test, prod, digest)
    maker = person(prod.store, made_by.lower(), tmp_path)
    prod.trusted.add(maker.public)
    with pytest.raises(ReleaseRefused, match="can't approve it"):
        approve(prod, digest, 14, maker)
    expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    prod.ledger.append("approved", maker, digest, {"expires_at": expires})
    with pytest.raises(PinRefused, match="too few approvals for prod: 1 by people other than its author"):
        preview(prod, digest)


def test_an_expired_approval_is_refused(preview: Preview, prod: Stage, digest: str) -> None:
    expired = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    prod.ledger.append("approved", prod.signer(APPROVER), digest, {"expires_at": expired})
    with pytest.raises(PinRefused, match=f"by {APPROVER} expired on"):
        preview(prod, digest)


@pytest.mark.parametrize("expires", ["never", None, "2999-01-01"])
def test_an_approval_that_does_not_say_when_it_expires_is_refused(
    preview: Preview, prod: Stage, digest: str, expires: str | None
) -> None:
    prod.ledger.append("approved", prod.signer(APPROVER), digest, {"expires_at": expires})
    with pytest.raises(PinRefused, match="expired on"):
        preview(prod, digest)


def test_what_was_deployed_under_a_valid_approval_may_stay(
    preview: Preview, prod: Stage, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise what runs in PROD could not be mended, nor rolled back to, after a fortnight."""
    expires = datetime.now(UTC) + timedelta(milliseconds=400)
    prod.ledger.append("approved", prod.signer(APPROVER), digest, {"expires_at": expires.isoformat()})
    prod.ledger.append("deployed", prod.signer(AUTHOR), digest, {"url": "http://x"})

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return expires + timedelta(days=30)

    monkeypatch.setattr("infra.release.datetime", Later)
    assert preview(prod, digest) == digest


def test_an_approval_after_the_deployment_does_not_count_backwards(preview: Preview, prod: Stage, digest: str) -> None:
    prod.ledger.append("deployed", prod.signer(AUTHOR), digest, {"url": "http://x"})
    expired = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    prod.ledger.append("approved", prod.signer(APPROVER), digest, {"expires_at": expired})
    with pytest.raises(PinRefused, match="expired on"):
        preview(prod, digest)


def test_a_retired_release_is_refused(preview: Preview, dev: Stage, digest: str) -> None:
    retire(dev, digest, "the labels were wrong", dev.signer(AUTHOR))
    with pytest.raises(PinRefused, match=r"was retired in local-dev on .*the labels were wrong"):
        preview(dev, digest)


def test_a_broken_ledger_is_refused(preview: Preview, dev: Stage, digest: str) -> None:
    Path(dev.store.path("ledger/00000001.json")).unlink()
    with pytest.raises(PinRefused, match="missing or foreign"):
        preview(dev, digest)


def test_a_signer_who_left_this_machine_does_not_count(
    preview: Preview, dev: Stage, digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another-user"))
    new_key("mallory", None)
    with pytest.raises(PinRefused, match=r"not one that counts for .* \(mallory\)"):
        preview(dev, digest)


def test_the_check_imports_no_heavy_library(tmp_path: Path) -> None:
    """It runs in every preview."""
    code = (
        "import sys, infra.release, ml.release.policy\n"
        "heavy = {'mlflow', 'pandas', 'sklearn', 'model_signing', 'sigstore', 'pyarrow', 'pulumi'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
