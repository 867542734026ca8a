"""Releases on their way from DEV to PROD and back: with a real model, real files, and each environment's checks."""

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from infra.config import StackConfig
from infra.config.environments import ENVIRONMENTS
from infra.release import PinRefused, check
from ml.bundle.bundle import fetch, key_of, read_manifest, verify
from ml.bundle.evaluation import EVALUATION_FILE
from ml.errors import InputRefused, ReleaseRefused
from ml.governance.data_sheet import data_sheet, quality_reports
from ml.model.model import ServedModel
from ml.predictions import log_schema, partition
from ml.problem import Problem, load_problem
from ml.release import lifecycle_command
from ml.release.approve import approve
from ml.release.audit import audit
from ml.release.build import read_evaluation
from ml.release.checks import CodeWaiver
from ml.release.deployed import record_deployed, record_undeployed
from ml.release.policy import PREVIOUS
from ml.release.promote import Promotion, promote
from ml.release.releases import as_text, releases, story
from ml.release.reports import report_key
from ml.release.retire import retire
from ml.release.rollback import roll_back
from ml.release.stackfile import pin, pinned, unpin
from ml.release.stage import Stage
from ml.trust import witness
from ml.trust.keys_command import keys
from ml.trust.ledger import Ledger, LedgerCut
from ml.trust.signing import signature_key
from tests.conftest import rows_of
from tests.stages import APPROVER, AUTHOR, release_into, stage, without_shadow

Open = Callable[..., Stage]


@pytest.fixture
def at(tmp_path: Path) -> Open:
    """Opens a stack anew, as the next command would."""
    return lambda environment, serves=None: stage(tmp_path, environment, serves)


@pytest.fixture
def digest(at: Open, candidate: Path, small_problem: Problem) -> str:
    return release_into(at("dev"), candidate, small_problem)


@pytest.fixture
def second(at: Open, tmp_path: Path, small_problem: Problem, make_candidate: Callable[..., None]) -> str:
    """Another release in DEV, of a model that decides otherwise."""
    make_candidate(tmp_path / "other", small_problem, seed=7)
    return release_into(at("dev"), tmp_path / "other", small_problem, version="2")


def bring(
    at: Open, source: str, target: str, digest: str | None, problem: Problem, *, asks_shadow: bool = False
) -> Promotion:
    """Promote; most of these environments answer nobody, so that a shadow has nothing to compare and is waived."""
    receiving = at(target)
    problem = problem if asks_shadow else without_shadow(problem)
    return promote(at(source), receiving, digest, problem, receiving.signer(AUTHOR), lambda _: None)


def deploy(at: Open, environment: str, tmp_path: Path) -> str:
    """What `pulumi up` does: refuse at preview, or serve and say so in the ledger."""
    where = at(environment)
    file = where.file
    digest = check(StackConfig.read(where.stack, file), where.store.uri, tmp_path)
    assert digest is not None
    record_deployed(where.store.uri, where.stack, environment, digest, "http://127.0.0.1:1", tmp_path)
    return digest


def log_requests(
    where: Stage, release: str, problem: Problem, tmp_path: Path, *, flip: bool = False, answered: int = 40
) -> None:
    """Fifty requests as the release answered them, or the other way round; `answered` of them as the champion."""
    manifest = fetch(where.store, release, tmp_path / f"fetched-{release[-6:]}")
    model = ServedModel.load(tmp_path / f"fetched-{release[-6:]}", manifest, 1000)
    rows = rows_of(problem, 50, seed=3)
    _, scores, decisions = model.answer(rows.to_json(orient="records").encode(), "x")
    now = datetime.now(UTC)
    columns: dict[str, Any] = {
        **{name: rows[name].to_list() for name in problem.feature_names},
        "prediction_id": [f"r-{n}" for n in range(50)],
        "at": [now] * 50,
        "release": [release] * 50,
        "role": ["champion"] * answered + ["shadow"] * (50 - answered),
        "score": list(scores),
        "decision": [1 - d for d in decisions] if flip else list(decisions),
        "threshold": [0.5] * 50,
        "subject": [None] * 50,
        "reasons": [None] * 50,
    }
    schema = log_schema(problem)
    path = Path(where.store.path(f"{partition(now.date(), release)}/part-0.parquet"))
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({name: columns[name] for name in schema.names}, schema), path)


def holds(*stages: Stage) -> bool:
    return all(finding.holds for each in stages for finding in audit(each))


def results(done: Promotion) -> dict[str, Any]:
    checks: Any = done.gate.details["checks"]
    return {each["name"]: each["result"] for each in checks}


def test_a_release_goes_from_dev_to_prod_and_every_environment_verifies(
    at: Open, digest: str, small_problem: Problem, tmp_path: Path
) -> None:
    pin(at("dev").file, digest)
    assert deploy(at, "dev", tmp_path) == digest
    done = promote(at("dev", digest), at("test"), None, small_problem, at("test").signer(AUTHOR), lambda _: None)
    assert (done.digest, done.replaced, done.is_new) == (digest, None, True)
    assert results(done) == {
        **dict.fromkeys(("gates", "code", "smoke", "contract", "latency"), "passed"), "shadow": "not_applicable"
    }  # fmt: skip
    assert deploy(at, "test", tmp_path) == digest
    bring(at, "test", "prod", digest, small_problem)
    with pytest.raises(PinRefused, match="is not approved for prod"):
        deploy(at, "prod", tmp_path)
    approve(at("prod"), digest, 14, at("prod").signer(APPROVER), load_problem())
    assert deploy(at, "prod", tmp_path) == digest
    assert verify(at("dev").store, digest) == verify(at("prod").store, digest)
    assert holds(at("dev"), at("test"), at("prod"))
    events = [(e.event, e.actor) for e in at("prod").ledger.entries()]
    assert events == [("promoted", AUTHOR), ("gated", AUTHOR), ("approved", APPROVER), ("deployed", AUTHOR)]


def test_promoting_again_changes_nothing(at: Open, digest: str, small_problem: Problem) -> None:
    bring(at, "dev", "test", digest, small_problem)
    entries, text = at("test").ledger.entries(), at("test").file.read_bytes()
    again = bring(at, "dev", "test", digest, small_problem)
    assert not again.is_new
    assert at("test").ledger.entries() == entries
    assert at("test").file.read_bytes() == text


def test_what_is_known_of_the_data_comes_along(at: Open, digest: str, small_problem: Problem) -> None:
    dev = at("dev").store
    manifest = read_manifest(dev, digest)
    assert "no quality report" in data_sheet(small_problem, manifest, quality_reports(dev, small_problem, manifest))
    dataset, data = next(iter(manifest.data.items()))
    report = {"rows": 4711, "passed": True, "findings": [], "columns": []}
    dev.write(report_key(manifest.name, dataset, data), json.dumps(report).encode())
    bring(at, "dev", "test", digest, small_problem)
    sheet = data_sheet(small_problem, manifest, quality_reports(at("test").store, small_problem, manifest))
    assert "4,711" in sheet
    assert "no quality report" not in sheet


def test_the_shadow_compares_with_the_answers_that_were_really_given(
    at: Open, digest: str, second: str, small_problem: Problem, tmp_path: Path
) -> None:
    bring(at, "dev", "test", digest, small_problem)
    deploy(at, "test", tmp_path)
    log_requests(at("test"), digest, small_problem, tmp_path)
    done = bring(at, "dev", "test", second, small_problem, asks_shadow=True)
    checks: Any = done.gate.details["checks"]
    shadow = next(each for each in checks if each["name"] == "shadow")
    assert shadow["result"] == "passed"
    assert shadow["note"].startswith("of 40 logged requests"), "a shadow's own answers were given to nobody"
    assert 0 < shadow["measured"] < 1
    assert done.replaced == digest


def test_too_many_changed_decisions_refuse_the_promotion_and_keep_the_pin(
    at: Open, digest: str, candidate: Path, small_problem: Problem, tmp_path: Path
) -> None:
    strict = small_problem.gates.shadow.model_copy(update={"maximum_changed_decisions": 0.9})
    problem = small_problem.model_copy(update={"gates": small_problem.gates.model_copy(update={"shadow": strict})})
    bring(at, "dev", "test", digest, problem)
    deploy(at, "test", tmp_path)
    same = release_into(at("dev"), candidate, problem, version="3")
    log_requests(at("test"), digest, problem, tmp_path, flip=True)
    with pytest.raises(ReleaseRefused, match=r"fails the checks of local-test(.|\n)*shadow +failed +of 40 .* 100\.0%"):
        bring(at, "dev", "test", same, problem, asks_shadow=True)
    assert pinned(at("test").file) == digest
    told = [as_text(entry) for entry in story(at("test"), same)]
    assert "local-test 4: promoted" in told[0]
    assert re.search(r"gated by author@example\.org \(passed False\)(.|\n)*shadow +failed +of 40", told[1])
    failed = at("test").ledger.entries()[-1]
    assert (failed.event, failed.release, failed.details["passed"]) == ("gated", same, False)
    with pytest.raises(ReleaseRefused, match=r"does not say that the release .* passed there"):
        bring(at, "test", "prod", same, problem)
    assert holds(at("test"))


@pytest.mark.parametrize("logged", [0, 5])
def test_a_shadow_that_has_too_few_requests_to_compare_refuses_the_promotion(
    at: Open, digest: str, second: str, small_problem: Problem, tmp_path: Path, logged: int
) -> None:
    bring(at, "dev", "test", digest, small_problem)
    deploy(at, "test", tmp_path)
    if logged:
        log_requests(at("test"), digest, small_problem, tmp_path, answered=logged)
    refusal = rf"shadow +not judged +{logged} requests that .* at least 10 are needed: .*`mlops replay`"
    with pytest.raises(ReleaseRefused, match=refusal):
        bring(at, "dev", "test", second, small_problem, asks_shadow=True)
    assert pinned(at("test").file) == digest
    assert results(bring(at, "dev", "test", second, small_problem))["shadow"] == "waived"
    assert not bring(at, "dev", "test", second, small_problem).is_new
    where = at("test")
    over: list[Any] = [{"name": "shadow", "result": "waived", "waiver_expires": "2020-01-01T00:00:00+00:00"}]
    where.ledger.append("gated", where.signer(AUTHOR), second, {"passed": True, "checks": over})
    assert bring(at, "dev", "test", second, small_problem).is_new, "a waiver that is over is judged anew"


def test_a_release_that_only_its_authors_gates_let_pass_is_refused_and_recorded(
    at: Open, candidate: Path, small_problem: Problem, tmp_path: Path
) -> None:
    """ROC AUC of 0.6 and a model that treats groups as differently as can be, under gates that were relaxed."""
    poor = poor_candidate(candidate, tmp_path / "poor")
    digest = release_into(at("dev"), poor, small_problem, version="9")
    refusal = (
        r"gates +failed +judged by the gates in force here, it does not pass:\n"
        r"  roc_auc: 0\.6000, at least 0\.845 demanded: failed, missed by 0\.245\n"
        r"  fairness\.SEX\.true_positive_rate: 0\.8000, at most 0\.08 demanded: failed"
    )
    with pytest.raises(ReleaseRefused, match=refusal):
        bring(at, "dev", "test", digest, load_problem())
    assert pinned(at("test").file) is None
    failed = at("test").ledger.entries()[-1]
    assert (failed.event, failed.details["passed"]) == ("gated", False)
    passed = bring(at, "dev", "test", digest, small_problem)
    assert passed.is_new, "by the gates of another checkout"
    with pytest.raises(ReleaseRefused, match=r"roc_auc: 0\.6000"):
        bring(at, "dev", "test", digest, load_problem())
    with pytest.raises(ReleaseRefused, match=r"does not say that the release .* passed there"):
        bring(at, "test", "prod", digest, load_problem())
    with pytest.raises(ReleaseRefused):
        approve(at("test"), digest, 1, at("test").signer(APPROVER), load_problem())


def test_code_that_no_commit_holds_goes_on_only_with_a_reason_and_an_end(
    at: Open, candidate: Path, small_problem: Problem, tmp_path: Path
) -> None:
    modified = poor_candidate(candidate, tmp_path / "modified", code_modified=True)
    digest = release_into(at("dev"), modified, small_problem, version="9")
    with pytest.raises(ReleaseRefused, match=r"code +failed .* differed from commit .*--waive-modified-code"):
        bring(at, "dev", "test", digest, small_problem)
    receiving, until = at("test"), datetime.now(UTC).date()
    waiver = CodeWaiver("the fix is under review", until)
    promote(at("dev"), receiving, digest, small_problem, receiving.signer(AUTHOR), lambda _: None, waiver)
    recorded: Any = at("test").ledger.entries()[-1].details["checks"]
    code = next(check for check in recorded if check["name"] == "code")
    assert (code["result"], code["waiver_expires"][:10]) == ("waived", until.isoformat())
    assert code["note"].endswith("the fix is under review")
    again = bring(at, "dev", "test", digest, small_problem)
    assert not again.is_new, "the waiver holds until its end"


def poor_candidate(candidate: Path, folder: Path, **changes: Any) -> Path:
    """The candidate with an evaluation that only relaxed gates let pass, unless `changes` says another."""
    shutil.copytree(candidate, folder)
    evaluation = read_evaluation(folder)
    poor = {
        "metrics": tuple(
            m.model_copy(update={"value": 0.6} if m.name == "roc_auc" else {}) for m in evaluation.metrics
        ),
        "fairness": tuple(
            group.model_copy(update={"rates": dict.fromkeys(group.rates, 0.1 if group.group == "a" else 0.9)})
            for group in evaluation.fairness
        ),
    }
    (folder / EVALUATION_FILE).write_text(evaluation.model_copy(update=changes or poor).model_dump_json())
    return folder


def test_a_release_for_another_problem_fails_the_contract(at: Open, digest: str, small_problem: Problem) -> None:
    fewer = small_problem.model_copy(update={"features": small_problem.features[:-1], "protected": ()})
    with pytest.raises(ReleaseRefused, match=r"contract +failed +its schema differs .* in features, row, example"):
        bring(at, "dev", "test", digest, fewer)
    assert pinned(at("test").file) is None


def test_a_slow_environment_refuses(at: Open, digest: str, small_problem: Problem) -> None:
    fast = small_problem.gates.latency.model_copy(update={"maximum_ms": 0.001})
    problem = small_problem.model_copy(update={"gates": small_problem.gates.model_copy(update={"latency": fast})})
    with pytest.raises(ReleaseRefused, match=r"latency +failed +.* ms at the 50% quantile, at most 0\.001 demanded"):
        bring(at, "dev", "test", digest, problem)


def test_what_was_tampered_with_is_not_copied(at: Open, digest: str, small_problem: Problem) -> None:
    file = Path(at("dev").store.path(f"{key_of(digest)}/schema.json"))
    file.write_bytes(file.read_bytes().replace(b"Age", b"age"))
    with pytest.raises(ReleaseRefused, match=r"schema\.json was altered"):
        bring(at, "dev", "test", digest, small_problem)
    assert list(at("test").store.list()) == []


def test_a_bundle_that_was_altered_on_arrival_is_mended_by_promoting_again(
    at: Open, digest: str, small_problem: Problem
) -> None:
    bring(at, "dev", "test", digest, small_problem)
    Path(at("test").store.path(f"{key_of(digest)}/schema.json")).write_bytes(b"{}")
    assert not holds(at("test"))
    bring(at, "dev", "test", digest, small_problem)
    assert holds(at("test"))


def test_nothing_to_promote_and_promoting_to_itself_are_said(at: Open, small_problem: Problem) -> None:
    with pytest.raises(InputRefused, match="serves nothing to promote"):
        bring(at, "dev", "test", None, small_problem)
    with pytest.raises(InputRefused, match="to itself"):
        bring(at, "dev", "dev", None, small_problem)


def test_no_environment_is_passed_over(at: Open, digest: str, small_problem: Problem) -> None:
    """Preview would refuse the evidence; here nothing is even copied, nor PROD's pin changed."""
    with pytest.raises(InputRefused, match=r"takes only what has passed in test, and local-dev is dev"):
        bring(at, "dev", "prod", digest, small_problem)
    assert list(at("prod").store.list()) == []
    assert pinned(at("prod").file) is None
    assert {name: each.previous for name, each in ENVIRONMENTS.items()} == PREVIOUS


def test_rollback_goes_back_one_deployment_at_a_time(
    at: Open, digest: str, second: str, small_problem: Problem, tmp_path: Path
) -> None:
    with pytest.raises(InputRefused, match="nothing to go back to"):
        roll_back(at("test"), None, at("test").signer(AUTHOR))
    for each in (digest, second):
        bring(at, "dev", "test", each, small_problem)
        deploy(at, "test", tmp_path)
    assert roll_back(at("test"), None, at("test").signer(AUTHOR)) == digest
    assert roll_back(at("test"), digest, at("test").signer(AUTHOR)) == digest, "once more changes nothing"
    assert pinned(at("test").file) == deploy(at, "test", tmp_path) == digest
    rolled = [e for e in at("test").ledger.entries() if e.event == "rolled_back"]
    assert [(e.release, e.details["from"]) for e in rolled] == [(digest, second)]
    with pytest.raises(InputRefused, match="nothing to go back to"):
        roll_back(at("test"), None, at("test").signer(AUTHOR))
    assert roll_back(at("test"), second, at("test").signer(AUTHOR)) == second
    with pytest.raises(InputRefused, match="has never served"):
        roll_back(at("test"), "sha256:" + "0" * 64, at("test").signer(AUTHOR))


def test_a_retired_release_goes_nowhere(
    at: Open, digest: str, second: str, small_problem: Problem, tmp_path: Path
) -> None:
    for each in (digest, second):
        bring(at, "dev", "test", each, small_problem)
        deploy(at, "test", tmp_path)
    me = at("test").signer(AUTHOR)
    with pytest.raises(InputRefused, match="pins the release"):
        retire(at("test"), second, "a leak was found", me)
    entry = retire(at("test"), digest, "a leak was found", me)
    assert retire(at("test"), digest, "another reason", me) == entry
    for refused in (
        lambda: bring(at, "test", "prod", digest, small_problem),
        lambda: bring(at, "dev", "test", digest, small_problem),
        lambda: roll_back(at("test"), digest, me),
        lambda: approve(at("test"), digest, 1, at("test").signer(APPROVER), load_problem()),
    ):
        with pytest.raises(ReleaseRefused, match=r"was retired in local-test on .* a leak was found"):
            refused()
    with pytest.raises(InputRefused, match="nothing to go back to"):
        roll_back(at("test"), None, me)


def test_nobody_approves_what_has_not_passed(at: Open, digest: str) -> None:
    with pytest.raises(ReleaseRefused, match="is not in the store"):
        approve(at("prod"), digest, 14, at("prod").signer(APPROVER), load_problem())


def test_releases_says_what_runs_where_since_when(
    at: Open, digest: str, second: str, small_problem: Problem, tmp_path: Path
) -> None:
    for each in (digest, second):
        bring(at, "dev", "test", each, small_problem)
        deploy(at, "test", tmp_path)
    approve(at("test"), second, 3, at("test").signer(APPROVER), load_problem())
    old, new = releases(at("test"))
    assert (old.release, old.state, old.is_pinned, old.version) == (digest, "served", False, "1")
    assert (new.release, new.state, new.is_pinned, new.version) == (second, "serving", True, "2")
    assert new.since == old.since, "the one ended when the other began"
    assert new.approved_until is not None
    record_undeployed(at("test").store.uri, "local-test", "test", tmp_path)
    assert [each.state for each in releases(at("test"))] == ["served", "served"]
    assert [each.state for each in releases(at("dev"))] == ["passed", "passed"]


def test_a_deployment_is_recorded_once(at: Open, digest: str, tmp_path: Path) -> None:
    pin(at("dev").file, digest)
    for _ in range(2):
        deploy(at, "dev", tmp_path)
    assert [e.event for e in at("dev").ledger.entries()].count("deployed") == 1
    for _ in range(2):
        record_undeployed(at("dev").store.uri, "local-dev", "dev", tmp_path)
    assert [e.event for e in at("dev").ledger.entries()].count("undeployed") == 1


def test_the_audit_names_everything_that_is_broken(at: Open, digest: str, second: str, small_problem: Problem) -> None:
    bring(at, "dev", "test", digest, small_problem)
    bring(at, "dev", "test", second, small_problem)
    store = at("test").store
    Path(store.path(f"{key_of(digest)}/schema.json")).write_bytes(b"{}")
    Path(store.path("ledger/00000002.json")).unlink()
    store.delete(signature_key(second))
    broken = {finding.subject: finding.note for finding in audit(at("test")) if not finding.holds}
    assert broken.keys() == {"ledger", digest, second}
    assert "was altered" in broken[digest]
    assert "is not signed" in broken[second]


def test_the_audit_names_what_was_deployed_past_every_check(
    at: Open, digest: str, second: str, small_problem: Problem, tmp_path: Path
) -> None:
    """A preview refuses it; whoever goes round the preview leaves an entry, or contradicts what serves."""
    bring(at, "dev", "test", digest, small_problem)
    deploy(at, "test", tmp_path)
    assert holds(at("test"))
    record_deployed(at("test").store.uri, "local-test", "test", second, "http://127.0.0.1:1", tmp_path)
    broken = {finding.subject: finding.note for finding in audit(at("test")) if not finding.holds}
    assert broken == {"deployments": f"entry 4 deployed {second}, which had not passed, or was retired"}


def test_the_audit_misses_a_release_that_was_taken_out_of_the_store(
    at: Open, digest: str, second: str, small_problem: Problem
) -> None:
    store = at("dev").store
    store.delete(f"{key_of(digest)}/manifest.json")
    store.delete(key_of(second))
    broken = {finding.subject: finding.note for finding in audit(at("dev")) if not finding.holds}
    assert broken.keys() == {digest, second}
    assert all("is not in the store" in note for note in broken.values())


def test_a_ledger_whose_end_was_cut_off_contradicts_the_others_and_what_serves(
    at: Open, digest: str, small_problem: Problem, tmp_path: Path
) -> None:
    """The chain itself still holds: who removes newest entries leaves no gap."""
    bring(at, "dev", "test", digest, small_problem)
    deploy(at, "test", tmp_path)
    at("test").store.delete("ledger/00000003.json")
    witness.forget(at("test").store.uri, "local-test")  # as on a machine that sees it for the first time
    broken = [finding for finding in audit(at("dev"), at("test", digest)) if not finding.holds]
    assert [(f.stack, f.subject) for f in broken] == [("local-test", "deployed")]
    assert broken[0].note == f"`pulumi up` left {digest}, but its ledger says nothing"
    at("dev").store.delete("ledger/00000002.json")
    witness.forget(at("dev").store.uri, "local-dev")
    broken = [finding for finding in audit(at("dev"), at("test")) if not finding.holds]
    assert [(f.stack, f.subject) for f in broken] == [("local-test", "evidence of entry 1")]
    assert "entry 2 of local-dev" in broken[0].note
    assert "cut off" in broken[0].note
    assert holds(at("test")), "alone, and looked at for the first time, it can't know"


def test_whoever_has_seen_a_ledger_notices_that_its_end_was_cut_off_or_that_it_was_begun_anew(
    at: Open, digest: str, small_problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(at, "dev", "test", digest, small_problem)
    assert holds(at("test"))
    deploy(at, "test", tmp_path)
    assert holds(at("test")), "a ledger that went on"
    store = at("test").store
    kept = {key: store.read(key) for key in store.list("ledger")}

    def broken() -> list[tuple[str, str]]:
        return [(f.subject, f.note) for f in audit(at("test")) if not f.holds]

    store.delete("ledger/00000003.json")
    for _ in range(2):  # it does not get used to it
        ((subject, note),) = broken()
        assert subject == "ledger's past"
        assert note.startswith("This machine, which looked on")
        assert "knows entry 3" in note
    store.delete("ledger")
    me, trusted = at("test").signer(AUTHOR), at("test").trusted
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
        for entry in kept.values():  # whoever holds a key that counts writes the same story, in a chain that holds
            told = json.loads(entry)
            anew = Ledger(store, "local-test", "test", trusted)
            anew.append(told["event"], me, told["release"], told["details"])
    assert [subject for subject, _ in broken()] == ["ledger's past"]
    for key, data in kept.items():
        store.write(key, data)
    assert holds(at("test"))
    store.delete("ledger")
    assert [subject for subject, _ in broken()] == ["ledger's past"], "nothing left at all"
    witness.forget(store.uri, "local-test")
    assert [subject for subject, _ in broken()] == ["ledger's past"], "the stack's file knows it too"
    unpin(at("test").file)
    assert holds(at("test"))


@pytest.mark.parametrize("knows", ["this machine", "the stack's file", "the engine's state"])
def test_whatever_judges_a_release_notices_that_a_retirement_was_taken_out_of_the_ledger(
    at: Open, digest: str, second: str, small_problem: Problem, tmp_path: Path, knows: str
) -> None:
    """By somebody who may write to the store and has no key, whoever of the three it is that has seen the ledger."""
    for each in (digest, second):
        bring(at, "dev", "test", each, small_problem)
        deploy(at, "test", tmp_path)
    me = at("test").signer(AUTHOR)
    retire(at("test"), digest, "a leak was found", me)
    store, file = at("test").store, at("test").file
    last = at("test").ledger.chain()[-1].head
    store.delete(f"ledger/{last.sequence:08d}.json")
    if knows != "this machine":
        witness.forget(store.uri, "local-test")
    if knows != "the stack's file":
        text = [line for line in file.read_text().splitlines(keepends=True) if "mlops:ledger" not in line]
        file.write_text("".join(text))
    recorded = str(last) if knows == "the engine's state" else None

    def opened() -> Stage:
        return stage(tmp_path, "test", head=recorded)

    pin(file, digest)
    config = StackConfig.read("local-test", file)
    with pytest.raises(PinRefused, match=r"knows entry \d+ of the ledger .*was cut off"):
        check(config, store.uri, tmp_path, lambda: recorded)
    for refused in (
        lambda: promote(at("dev"), opened(), digest, small_problem, me, lambda _: None),
        lambda: promote(opened(), at("prod"), digest, small_problem, me, lambda _: None),
        lambda: roll_back(opened(), digest, me),
        lambda: approve(opened(), digest, 1, at("test").signer(APPROVER), small_problem),
        lambda: retire(opened(), second, "to write behind it", me),
        lambda: releases(opened()),
    ):
        with pytest.raises(LedgerCut, match=r"knows entry \d+ of the ledger"):
            refused()
    assert [f.subject for f in audit(opened()) if not f.holds] == ["ledger's past"]
    assert list(at("prod").store.list()) == []


class Shell:
    """The command line, with stacks in a temporary folder."""

    def __init__(self, at: Open) -> None:
        self.served: dict[str, str] = {}
        self._at = at

    def load(self, stack: str) -> Stage:
        return self._at(stack.removeprefix("local-"), self.served.get(stack))

    def run(self, command: str, *words: str) -> Any:
        return CliRunner().invoke(getattr(lifecycle_command, command), list(words))


@pytest.fixture
def shell(
    at: Open, monkeypatch: pytest.MonkeyPatch, small_problem: Problem, set_problem: Callable[[Problem], None]
) -> Shell:
    shell = Shell(at)
    monkeypatch.setattr(lifecycle_command.Stage, "load", shell.load)
    set_problem(small_problem)
    return shell


def test_a_command_tells_why_a_release_was_refused(
    shell: Shell, digest: str, candidate: Path, at: Open, tmp_path: Path, small_problem: Problem
) -> None:
    bring(at, "dev", "test", digest, small_problem)
    deploy(at, "test", tmp_path)
    other = release_into(at("dev"), candidate, small_problem, version="3")
    refused = shell.run("promote", "--from", "local-dev", "--to", "local-test", "--release", other)
    assert isinstance(refused.exception, ReleaseRefused), "nobody asked anything, so the shadow is not judged"
    stacks = ("--stack", "local-dev", "--stack", "local-test")
    said = shell.run("releases", *stacks, "--release", other)
    assert said.exit_code == 0
    assert re.search(r"local-test \d+: gated by author@example\.org \(passed False\)", said.stdout)
    assert re.search(r"  shadow +not_judged +0 requests that .* at least 10 are needed", said.stdout)
    assert digest not in said.stdout
    told = json.loads(shell.run("releases", *stacks, "--release", other, "--json").stdout)
    events = [(entry["stack"], entry["event"], entry["details"].get("passed")) for entry in told]
    assert events == [
        ("local-dev", "registered", None),
        ("local-dev", "gated", True),
        ("local-test", "promoted", None),
        ("local-test", "gated", False),
    ]
    checks = {check["name"]: check["result"] for check in told[-1]["details"]["checks"]}
    assert (checks["shadow"], checks["smoke"]) == ("not_judged", "passed")
    unknown = shell.run("releases", *stacks, "--release", "sha256:" + "0" * 64)
    assert isinstance(unknown.exception, InputRefused)
    assert "No ledger of local-dev, local-test knows" in str(unknown.exception)


def test_the_commands_tell_the_same_story(shell: Shell, digest: str, at: Open, tmp_path: Path) -> None:
    shell.served["local-dev"] = digest
    promoted = json.loads(shell.run("promote", "--from", "local-dev", "--to", "local-test", "--json").stdout)
    assert (promoted["digest"], promoted["is_new"]) == (digest, True)
    assert [each["name"] for each in promoted["checks"]] == ["gates", "code", "smoke", "contract", "latency", "shadow"]
    text = shell.run("promote", "--from", "local-dev", "--to", "local-test").stdout
    assert "Next      pulumi up --stack local-test" in text
    refused = shell.run("approve", "--yes", "--stack", "local-test", "--release", digest)
    assert isinstance(refused.exception, ReleaseRefused)
    assert refused.exception.exit_code == 3
    silent = shell.run("approve", "--stack", "local-test", "--release", digest, "--as", APPROVER)
    assert isinstance(silent.exception, InputRefused), "nobody is there to be asked"
    assert "roc_auc" in silent.stdout
    assert [e.event for e in at("test").ledger.entries()] == ["promoted", "gated"]
    words = ("--yes", "--stack", "local-test", "--release", digest, "--as", APPROVER)
    approved = shell.run("approve", *words)
    assert f"by {APPROVER}" in approved.stdout
    shown = json.loads(shell.run("approve", *words, "--json").stdout)
    assert {gate["result"] for gate in shown["case"]["gates"]} == {"passed"}
    half = shell.run("promote", "--from", "local-dev", "--to", "local-test", "--waive-modified-code", "a good reason")
    assert isinstance(half.exception, InputRefused)
    deploy(at, "test", tmp_path)
    states = json.loads(shell.run("releases", "--stack", "local-test", "--stack", "local-dev", "--json").stdout)
    assert [(s["stack"], s["state"]) for s in states] == [("local-test", "serving"), ("local-dev", "passed")]
    assert "* local-test" in shell.run("releases", "--stack", "local-test").stdout
    assert isinstance(shell.run("rollback", "--stack", "local-test").exception, InputRefused)
    short = shell.run("retire", digest, "--stack", "local-dev", "--reason", "bad")
    assert isinstance(short.exception, InputRefused)
    record_deployed(at("dev").store.uri, "local-dev", "dev", digest, "http://127.0.0.1:1", tmp_path)
    assert "Retired" in shell.run("retire", digest, "--stack", "local-dev", "--reason", "the labels were wrong").stdout
    good = shell.run("verify", "--stack", "local-dev", "--stack", "local-test")
    assert good.exit_code == 0
    assert "BROKEN" not in good.stdout
    Path(at("dev").store.path("ledger/00000001.json")).unlink()
    bad = shell.run("verify", "--stack", "local-dev", "--json")
    assert bad.exit_code == 1
    assert [each["subject"] for each in json.loads(bad.stdout) if not each["holds"]] == ["ledger"]


def test_keys_are_made_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")
    assert "commit it" in CliRunner().invoke(keys, ["new", "ada"]).stdout
    assert CliRunner().invoke(keys, ["new", "bob", "--local"]).exit_code == 0
    assert [p.name for p in (tmp_path / "keys").iterdir()] == ["ada.pub"]
    listed = json.loads(CliRunner().invoke(keys, ["list", "--json"]).stdout)
    assert [(k["name"], k["counts_for"], k["has_private"]) for k in listed] == [
        ("ada", "every store", True),
        ("bob", "stores on this machine", True),
    ]
    assert "private key here" in CliRunner().invoke(keys, ["list"]).stdout
