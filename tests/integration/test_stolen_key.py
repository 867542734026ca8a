"""docs/stolen-key.md, played with real files: a key is stolen, and PROD, its people and its ledger come out of it."""

import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infra.config import StackConfig
from infra.release import PinRefused, check
from ml.cli import mlops
from ml.errors import InputRefused, ReleaseRefused
from ml.governance.privacy import erase
from ml.problem import Problem, load_problem
from ml.release.approve import approve
from ml.release.audit import audit
from ml.release.deployed import record_deployed
from ml.release.reseat import reseat
from ml.release.retire import retire
from ml.release.rollback import roll_back
from ml.release.stackfile import pin, pinned
from ml.release.stage import Stage
from ml.runtime import Runtime
from ml.trust import witness
from ml.trust.keys import Signer, personal_folder
from ml.trust.revocation import revoke
from tests.stages import APPROVER, AUTHOR, brought, person, release_into, stage

EVE = "eve@example.org"
PAGE = Path(__file__).parents[2] / "docs" / "stolen-key.md"
WHY = "eve's laptop was stolen"


class Story:
    """DEV, TEST and PROD, where PROD asks for an approval; opened anew at each step, as a command would."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def at(self, environment: str) -> Stage:
        where = stage(self.root, environment)
        assert where.runtime
        approvals = 1 if environment == "prod" else 0
        return Stage.of(where.runtime.model_copy(update={"approvals_required": approvals}), where.file, self.root)

    def up(self) -> str:
        prod = self.at("prod")
        digest = check(StackConfig.read("local-prod", prod.file), prod.store.uri, self.root)
        assert digest
        record_deployed(prod.store.uri, "local-prod", "prod", digest, "http://127.0.0.1:1", self.root)
        return digest

    def broken(self) -> dict[str, str]:
        found = audit(*map(self.at, ("dev", "test", "prod")))
        return {finding.subject: finding.note for finding in found if not finding.holds}

    def revoke_eve(self, at: datetime) -> None:
        revoke(personal_folder() / f"{EVE}.pub", at, WHY)


@pytest.fixture
def story(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_problem: Problem, set_problem: Callable[[Problem], None]
) -> Story:
    set_problem(small_problem)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Story(tmp_path)


@pytest.fixture
def eve(story: Story) -> Signer:
    return person(story.at("prod").store, EVE, story.root)


@pytest.fixture
def good(story: Story, eve: Signer, candidate: Path, small_problem: Problem) -> str:
    """What served before the theft, approved by somebody else."""
    digest = bring(story, candidate, small_problem, "1")
    approve(story.at("prod"), digest, 14, story.at("prod").signer(APPROVER), load_problem())
    pin(story.at("prod").file, digest)
    assert story.up() == digest
    return digest


@pytest.fixture
def stolen_at(good: str) -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def bad(story: Story, eve: Signer, stolen_at: datetime, candidate: Path, small_problem: Problem) -> str:
    """What the thief approved, and had deployed."""
    digest = bring(story, candidate, small_problem, "2")
    approve(story.at("prod"), digest, 14, eve, load_problem())
    pin(story.at("prod").file, digest)
    assert story.up() == digest
    return digest


def bring(story: Story, candidate: Path, problem: Problem, version: str) -> str:
    digest = release_into(story.at("dev"), candidate, problem, version=version)
    brought(story.at("dev"), story.at("test"), digest)
    brought(story.at("test"), story.at("prod"), digest)
    return digest


def test_a_stolen_key_is_an_incident_with_a_way_out(
    story: Story, eve: Signer, good: str, bad: str, stolen_at: datetime
) -> None:
    retire(story.at("test"), good, "the thief makes trouble", eve)
    story.revoke_eve(stolen_at)

    # Nothing that the key gave lets anything go on, and nothing else is stopped.
    with pytest.raises(PinRefused, match="is not approved for prod"):
        story.up()
    undecided = set(story.broken())
    assert any(subject.startswith("entry ") for subject in undecided)
    assert roll_back(story.at("prod"), None, story.at("prod").signer(AUTHOR)) == good
    assert story.up() == good
    prod = story.at("prod")
    done = erase(prod.store, prod.ledger, prod.signer(AUTHOR), "customer-4711", datetime.now(UTC), lambda _: None)
    assert done.remaining == 0
    with pytest.raises(InputRefused, match=f"key of {EVE} was revoked"):
        story.at("prod").signer(EVE)

    # The chain is set right: by name, entry by entry, with a reason.
    ada = story.at("test").signer(AUTHOR)
    thiefs = [e.sequence for e in story.at("test").ledger.void()]
    with pytest.raises(InputRefused, match=rf"stands .* or falls .*entry {thiefs[0]}, retired .* signed by {EVE}"):
        reseat(story.at("test"), [], [], WHY, ada, accept_loss=False)
    assert reseat(story.at("test"), [], thiefs, WHY, ada, accept_loss=False)[-1].event == "reseated"
    reseat(story.at("prod"), [], [], WHY, story.at("prod").signer(APPROVER), accept_loss=False)
    assert story.broken() == {}
    with pytest.raises(InputRefused, match="is whole: there is nothing to decide"):
        reseat(story.at("prod"), [], [], WHY, ada, accept_loss=False)

    # Seen from a machine that has never looked.
    for environment in ("dev", "test", "prod"):
        witness.forget(story.at(environment).store.uri, f"local-{environment}")
    assert story.broken() == {}
    said = [f.note for f in audit(story.at("prod")) if f.subject.startswith("entry ")]
    assert said == [note for note in said if note.startswith(f"{APPROVER} decided entry") and WHY in note]
    assert said

    # The thief's approval stays worth nothing; another's counts.
    pin(story.at("prod").file, bad)
    with pytest.raises(PinRefused, match="is not approved for prod"):
        story.up()
    approve(story.at("prod"), bad, 14, story.at("prod").signer(APPROVER), load_problem())
    assert story.up() == bad


def test_the_commands_of_the_page_lead_out_as_they_are_typed(
    story: Story, eve: Signer, good: str, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the day and the entries' numbers are this incident's own."""
    leaked, sabotaged = (f"sha256:{digit * 64}" for digit in "89")
    for release in (leaked, sabotaged):
        story.at("prod").append("retired", eve, release, {"reason": "a leak was found"})
    (story.root / "Pulumi.yaml").write_text("name: mlops\n")
    monkeypatch.chdir(story.root)
    monkeypatch.setenv("MLOPS_SIGN_AS", AUTHOR)
    monkeypatch.setattr(Runtime, "load", lambda stack: story.at(stack.removeprefix("local-")).runtime)
    this_time = {"2026-11-20": f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"}

    verified = "mlops verify --stack local-dev --stack local-test --stack local-prod"
    typed = [line.strip() for line in PAGE.read_text().splitlines() if line.startswith("    ")]
    assert [line.split()[1] for line in typed] == ["keys", "rollback", "up", "erase", "ledger", "verify"]
    for line in typed:
        if line.startswith("pulumi up"):
            assert story.up() == good
            continue
        if " reseat " in line:
            assert run(verified).exit_code == 1, "it is not decided yet"
            listed = run(line.partition(" --stands")[0])
            assert isinstance(listed.exception, InputRefused)
            numbers = {e.release: str(e.sequence) for e in story.at("prod").ledger.void() if e.event == "retired"}
            assert all(f"entry {number}, retired" in str(listed.exception) for number in numbers.values())
            this_time |= {"--stands 7": f"--stands {numbers[leaked]}", "--falls 8": f"--falls {numbers[sabotaged]}"}
        if line == verified:
            witness.forget(story.at("prod").store.uri, "local-prod")
        for example, own in this_time.items():
            line = line.replace(example, own)
        done = run(line)
        assert done.exit_code == 0, (line, done.output, done.exception)
    kept = [e.release for e in story.at("prod").ledger.entries() if e.event == "retired"]
    assert kept == [leaked]


def run(line: str) -> Result:
    """A command as a shell would call it."""
    _, *words = shlex.split(line)
    return CliRunner().invoke(mlops, words)


def test_what_the_key_took_away_does_not_come_back_by_revoking_it(
    story: Story, eve: Signer, good: str, bad: str, stolen_at: datetime
) -> None:
    """Eve herself may have retired it, for a good reason."""
    pin(story.at("prod").file, good)
    assert story.up() == good
    retire(story.at("prod"), bad, "a leak was found", eve)
    story.revoke_eve(stolen_at)
    with pytest.raises(ReleaseRefused, match="a leak was found"):
        roll_back(story.at("prod"), bad, story.at("prod").signer(AUTHOR))
    ada = story.at("prod").signer(AUTHOR)
    (retired,) = (e for e in story.at("prod").ledger.void() if e.event == "retired")
    with pytest.raises(InputRefused, match="can't both stand and fall"):
        reseat(story.at("prod"), [retired.sequence], [retired.sequence], WHY, ada, accept_loss=False)
    again, _ = reseat(story.at("prod"), [retired.sequence], [], WHY, ada, accept_loss=False)
    assert (again.event, again.actor, again.release) == ("retired", AUTHOR, bad)
    with pytest.raises(ReleaseRefused, match=f"was retired .* by {AUTHOR}"):
        roll_back(story.at("prod"), bad, ada)
    assert story.broken() == {}


def test_an_approval_can_not_be_made_to_stand(story: Story, eve: Signer, bad: str, stolen_at: datetime) -> None:
    story.revoke_eve(stolen_at)
    ada = story.at("prod").signer(AUTHOR)
    approval = next(e for e in story.at("prod").ledger.void() if e.event == "approved")
    before = story.at("prod").ledger.chain()
    with pytest.raises(InputRefused, match="given anew, never signed again"):
        reseat(story.at("prod"), [approval.sequence], [], WHY, ada, accept_loss=False)
    assert story.at("prod").ledger.chain() == before


def test_checks_that_the_key_signed_stand_as_anothers_and_never_vouch_for_its_own_release(
    story: Story, eve: Signer, stolen_at: datetime, small_problem: Problem, candidate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with monkeypatch.context() as hers:
        hers.setattr("tests.stages.AUTHOR", EVE)
        digest = release_into(story.at("dev"), candidate, small_problem, version="3", created_by=EVE)
    story.revoke_eve(stolen_at)
    dev, ada = story.at("dev"), story.at("dev").signer(APPROVER)
    void = [e.sequence for e in dev.ledger.void()]
    reseat(dev, void, [], WHY, ada, accept_loss=False)
    assert [e.actor for e in story.at("dev").ledger.entries() if e.release == digest] == [APPROVER, APPROVER]
    pin(dev.file, digest)
    with pytest.raises(PinRefused, match=f"signed with the key of {EVE}, which was revoked"):
        check(StackConfig.read("local-dev", dev.file), dev.store.uri, story.root)


def test_a_decision_that_was_cut_short_is_completed_by_running_it_again(
    story: Story, eve: Signer, good: str, bad: str, stolen_at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin(story.at("prod").file, good)
    story.up()
    retire(story.at("prod"), bad, "a leak was found", eve)
    story.revoke_eve(stolen_at)
    ada = story.at("prod").signer(AUTHOR)
    (retired,) = (e.sequence for e in story.at("prod").ledger.void() if e.event == "retired")
    where = story.at("prod")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(where.ledger, "reseat", killed)
    with pytest.raises(KeyboardInterrupt):
        reseat(where, [retired], [], WHY, ada, accept_loss=False)
    assert [e.event for e in story.at("prod").ledger.entries()][-1] == "retired"
    reseat(story.at("prod"), [retired], [], WHY, ada, accept_loss=False)
    events = [e.event for e in story.at("prod").ledger.chain()]
    assert events[-3:] == ["retired", "retired", "reseated"]
    assert story.broken() == {}


def test_a_loss_is_accepted_when_enough_people_say_so(story: Story, good: str) -> None:
    """One person more than approves: nobody alone may cut off what stands against a release."""
    prod = story.at("prod")
    me = prod.signer(AUTHOR)
    last = prod.append("retired", me, "sha256:" + "9" * 64, {"reason": "a leak was found"})
    prod.store.delete(f"ledger/{last.sequence:08d}.json")
    with pytest.raises(InputRefused, match="Restore it"):
        reseat(story.at("prod"), [], [], WHY, me, accept_loss=False)
    for _ in range(2):  # twice the same person is one
        reseat(story.at("prod"), [], [], WHY, me, accept_loss=True)
        with pytest.raises(ReleaseRefused, match="knows entry"):
            story.at("prod").ledger.entries()
    reseat(story.at("prod"), [], [], WHY, story.at("prod").signer(APPROVER), accept_loss=True)
    assert story.broken() == {}
    assert story.up() == good
    assert pinned(story.at("prod").file) == good


def test_the_clock_of_a_thief_reaches_no_further_back_than_the_newest_entry(
    story: Story, eve: Signer, good: str, stolen_at: datetime
) -> None:
    story.revoke_eve(stolen_at - timedelta(days=30))
    assert story.up() == good, "eve had signed nothing of it"
