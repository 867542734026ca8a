"""What `pulumi up` refuses at preview, each with its cause and its remedy; and what it lets pass."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import JsonValue

from infra.config import ConfigInvalid, StackConfig
from infra.release import PinRefused, check
from ml.bundle.bundle import MANIFEST_FILE, key_of
from ml.bundle.evaluation import EVALUATION_FILE
from ml.bundle.manifest import Gate
from ml.errors import ReleaseRefused
from ml.problem import Problem, Waiver, load_problem
from ml.release.approve import approve
from ml.release.build import read_evaluation
from ml.release.retire import retire
from ml.release.stage import Stage
from ml.trust.keys import new_key, personal_folder, signer
from ml.trust.signing import signature_key
from tests.stages import APPROVER, AUTHOR, PASSED, brought, passing_gates, person, release_into, stage

pytestmark = pytest.mark.slow

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


def test_a_manifest_with_a_gate_that_was_not_judged_is_refused(
    preview: Preview, dev: Stage, candidate: Path, small_problem: Problem
) -> None:
    unknown = PASSED.model_copy(update={"name": "fairness.SEX", "result": "not_judged", "note": "two rows"})
    digest = release_into(dev, candidate, small_problem, gates=(PASSED, unknown))
    with pytest.raises(PinRefused, match=r"did not pass its gates: fairness\.SEX not judged: two rows"):
        preview(dev, digest)


def waived_for(days: int) -> tuple[Waiver, ...]:
    expires = (datetime.now(UTC) + timedelta(days=days)).date()
    return (Waiver(gate="roc_auc", reason="agreed with the owner", approved_by="someone", expires=expires),)


@pytest.mark.parametrize(
    ("theirs", "ours", "refusal"),
    [
        (1, 1, None),
        (-1, 1, "waiver that has expired: roc_auc"),
        (1, -1, r"not those of the problem definition here:\n  roc_auc: 0\.6000, at least 0\.845.*waiver expired"),
        (1, None, r"not those of the problem definition here:\n  roc_auc: 0\.6000, at least 0\.845 demanded: failed"),
    ],
)
def test_a_waiver_counts_until_it_expires_and_only_where_it_stands_here_too(
    preview: Preview,
    dev: Stage,
    candidate: Path,
    small_problem: Problem,
    set_problem: Callable[[Problem], None],
    theirs: int,
    ours: int | None,
    refusal: str | None,
) -> None:
    expires = datetime.now(UTC) + timedelta(days=theirs)
    low = {"measured": 0.6, "result": "waived", "waiver_expires": expires}
    gates = tuple(
        gate.model_copy(update=low if gate.name == "roc_auc" else {})
        for gate in passing_gates(candidate, small_problem)
    )
    digest = release_into(dev, candidate, small_problem, gates=gates)
    set_problem(load_problem().model_copy(update={"waivers": () if ours is None else waived_for(ours)}))
    if refusal is None:
        assert preview(dev, digest) == digest
    else:
        with pytest.raises(PinRefused, match=refusal):
            preview(dev, digest)


def test_gates_that_are_tightened_refuse_what_is_new_and_let_stay_what_was_deployed(
    preview: Preview, dev: Stage, digest: str, set_problem: Callable[[Problem], None]
) -> None:
    quality = load_problem().gates.quality
    strict = quality.model_copy(update={"roc_auc": quality.roc_auc.model_copy(update={"minimum": 0.95})})
    gates = load_problem().gates.model_copy(update={"quality": strict})
    set_problem(load_problem().model_copy(update={"gates": gates}))
    with pytest.raises(PinRefused, match=r"roc_auc: 0\.9000, at least 0\.95 demanded: failed, missed by 0\.05"):
        preview(dev, digest)
    dev.ledger.append("deployed", dev.signer(AUTHOR), digest, {"url": "http://x"})
    assert preview(dev, digest) == digest


@pytest.mark.parametrize(("waived_days", "passes"), [(None, False), (-1, False), (1, True)])
def test_code_that_no_commit_holds_needs_a_waiver_outside_dev(
    preview: Preview,
    dev: Stage,
    tmp_path: Path,
    candidate: Path,
    small_problem: Problem,
    waived_days: int | None,
    passes: bool,
) -> None:
    spoilt = shutil.copytree(candidate, tmp_path / "modified")
    evaluation = read_evaluation(spoilt).model_copy(update={"code_modified": True})
    (spoilt / EVALUATION_FILE).write_text(evaluation.model_dump_json(), encoding="utf-8")
    digest = release_into(dev, spoilt, small_problem)
    assert preview(dev, digest) == digest
    test = stage(tmp_path, "test")
    brought(dev, test, digest)
    if waived_days is not None:
        expires = (datetime.now(UTC) + timedelta(days=waived_days)).isoformat()
        check: JsonValue = {"name": "code", "result": "waived", "note": "a trial", "waiver_expires": expires}
        test.ledger.append("gated", test.signer(AUTHOR), digest, {"passed": True, "checks": [check]})
    if passes:
        assert preview(test, digest) == digest
    else:
        with pytest.raises(PinRefused, match=r"can't be reviewed: it was made by a checkout that differed from commit"):
            preview(test, digest)


@pytest.mark.parametrize(
    ("expires", "passes"),
    [("2020-01-01T00:00:00+00:00", False), (None, False), ("never", False), ("2999-01-01T00:00:00+00:00", True)],
)
def test_a_check_that_was_waived_until_yesterday_lets_nothing_new_be_deployed(
    preview: Preview, dev: Stage, tmp_path: Path, digest: str, expires: str | None, passes: bool
) -> None:
    test = stage(tmp_path, "test")
    brought(dev, test, digest)
    check: JsonValue = {"name": "shadow", "result": "waived", "note": "nobody asks", "waiver_expires": expires}
    test.ledger.append("gated", test.signer(AUTHOR), digest, {"passed": True, "checks": [check]})
    if not passes:
        with pytest.raises(PinRefused, match=r"a waiver that has expired: shadow \(.*`mlops promote` again"):
            preview(test, digest)
        test.ledger.append("deployed", test.signer(AUTHOR), digest, {"url": "http://x"})
    assert preview(test, digest) == digest


def test_a_waiver_of_another_environments_checks_says_nothing_here(
    preview: Preview, dev: Stage, tmp_path: Path, candidate: Path, small_problem: Problem
) -> None:
    spoilt = shutil.copytree(candidate, tmp_path / "modified")
    evaluation = read_evaluation(spoilt).model_copy(update={"code_modified": True})
    (spoilt / EVALUATION_FILE).write_text(evaluation.model_dump_json(), encoding="utf-8")
    digest = release_into(dev, spoilt, small_problem)
    test, prod = stage(tmp_path, "test"), stage(tmp_path, "prod")
    brought(dev, test, digest)
    expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    check: JsonValue = {"name": "code", "result": "waived", "note": "a trial", "waiver_expires": expires}
    test.ledger.append("gated", test.signer(AUTHOR), digest, {"passed": True, "checks": [check]})
    assert preview(test, digest) == digest
    brought(test, prod, digest)
    with pytest.raises(ReleaseRefused, match="can't be reviewed"):
        approve(prod, digest, 14, prod.signer(APPROVER), load_problem())


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
    with pytest.raises(ReleaseRefused, match="evidence of local-dev"):
        approve(prod, digest, 14, prod.signer(APPROVER), load_problem())
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
    approve(prod, digest, 14, prod.signer(APPROVER), load_problem())
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
        approve(prod, digest, 14, maker, load_problem())
    expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    prod.ledger.append("approved", maker, digest, {"expires_at": expires})
    with pytest.raises(PinRefused, match="too few approvals for prod: 1 by people other than its author"):
        preview(prod, digest)


def test_who_approves_is_decided_by_the_key_and_not_by_the_spelling(
    preview: Preview, prod: Stage, digest: str, tmp_path: Path
) -> None:
    """Another name for the author's key is refused by the folder of keys; another key under the author's name counts
    for nothing; another person's key counts however like the author's its name is."""
    folder = personal_folder()
    shutil.copy(folder / f"{AUTHOR}.pub", folder / "auth0r@example.org.pub")
    with pytest.raises(PinRefused, match="have the same key"):
        preview(prod, digest)
    (folder / "auth0r@example.org.pub").unlink()
    like = person(prod.store, f"{AUTHOR.replace('@', '@mail.')}", tmp_path)
    prod.trusted.add(like.public)
    approve(prod, digest, 14, like, load_problem())
    assert preview(prod, digest) == digest


def test_a_machine_approves_nothing_that_anybody_made(preview: Preview, prod: Stage, digest: str) -> None:
    new_key("ci@example.org", None, is_machine=True)
    machine = signer(prod.store, "ci@example.org")
    prod.trusted.add(machine.public)
    with pytest.raises(ReleaseRefused, match="is a machine's key, which approves nothing"):
        approve(prod, digest, 14, machine, load_problem())
    expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    prod.ledger.append("approved", machine, digest, {"expires_at": expires})
    with pytest.raises(PinRefused, match="has too few approvals for prod"):
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
