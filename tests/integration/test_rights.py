"""docs/release.md, "Who can reach what": each right, alone and with others, does the worst that it can.

A whole release chain is made once. Each cell of the table is played on a copy of PROD, seen from a machine that never
saw it: what is wanted is pinned, for somebody may be deceived to do so, and `pulumi up` is asked. The table in the docs
is what came of it.
"""

import asyncio
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from mlflow import MlflowClient

from infra.config import ConfigInvalid, StackConfig
from infra.release import PinRefused, check
from ml.bundle.bundle import file_digests, key_of
from ml.errors import MlopsError
from ml.monitoring.verdict import Judge
from ml.problem import Problem, load_problem
from ml.release.allowed import Place, require_allowed
from ml.release.approve import approve
from ml.release.deployed import record_deployed
from ml.release.retire import retire
from ml.release.stackfile import pin, unpin
from ml.release.stage import Stage
from ml.release.vouched import bring
from ml.serving.hosting.host import ModelHost
from ml.serving.telemetry.metrics import ServerMetrics
from ml.store import Store
from ml.trust.keys import Signer, TrustedKeys, new_key, signer
from ml.trust.ledger import Ledger
from ml.trust.voucher import Voucher
from tests.stages import APPROVER, AUTHOR, brought, release_into, stage

DOCS: Final = Path(__file__).parents[2] / "docs" / "release.md"
CI: Final = "ci@example.org"
GOALS: Final = ("unapproved", "failed", "retired", "just retired")
PLACE: Final = Place("local-prod", "prod", 1)
THROUGH, UNSEEN = "**gets through**", "**gets through** where nobody saw it retired"
REASONS: Final = {  # the first that fits
    "candidate altered": r"is not what its training left",
    "not approved": r"is not approved for prod|has too few approvals",
    "its own author": r"made the release .* and can't approve",
    "no person": r"is a machine's key",
    "its checks failed": r"its ledger has no passing entry",
    "retired": r"was retired in local-prod",
    "ledger altered": r"can't be believed|is missing or foreign|is no ledger entry",
    "ledger cut off": r"Its end was cut off",
    "bytes altered": r"was altered",
}


@dataclass(frozen=True)
class World:
    """A copy of PROD after its last `pulumi up`; `releases` are by goal, `recorded` is what the engine's state says."""

    root: Path
    releases: dict[str, str]
    good: str
    recorded: str
    mlflow_uri: str
    candidate: Path

    @property
    def prod(self) -> Stage:
        where = stage(self.root, "prod")
        assert where.runtime
        return Stage.of(where.runtime.model_copy(update={"approvals_required": 1}), where.file, self.root)

    @property
    def store(self) -> Store:
        return Store((self.root / "prod" / "store").as_uri())

    @property
    def file(self) -> Path:
        return self.root / "Pulumi.local-prod.yaml"

    @property
    def entries(self) -> list[Path]:
        return sorted((self.root / "prod" / "store" / "ledger").iterdir())

    def copy(self, root: Path) -> "World":
        shutil.copytree(self.root / "prod", root / "prod")
        shutil.copy(self.root / "Pulumi.local-prod.yaml", root)
        return World(root, self.releases, self.good, self.recorded, self.mlflow_uri, self.candidate)

    def unseen_chain(self) -> Ledger:
        """The ledger to write to, whatever anybody knows of it."""
        return Ledger(self.store, PLACE.stack, PLACE.environment, TrustedKeys.of(self.store, self.root))

    def up(self) -> set[str]:
        config = StackConfig.read("local-prod", self.file)
        served = check(config, self.store.uri, self.root, lambda: self.recorded)
        return {str(served), *([config.challenger.release] if config.challenger else [])}


def _refused(error: Exception) -> str:
    known = next((name for name, said in REASONS.items() if re.search(said, str(error))), None)
    assert known, f"a refusal that the table has no words for: {error}"
    return f"refused: {known}"


# What a right can do: an outcome that it met on the way, or None where `pulumi up` tells.
Attack = Callable[[World, str], str | None]


def altered(world: World, wanted: str) -> None:
    """The newest entry about the release says something else."""
    file = [each for each in world.entries if wanted in each.read_text()][-1]
    said = json.loads(file.read_bytes())
    said["details"] = {"passed": True}
    file.write_text(json.dumps(said, sort_keys=True, separators=(",", ":")))


def cut(world: World, wanted: str) -> None:
    """Everything from the entry that stands in the way on is gone."""
    standing = ("retired", '"passed":false')
    first = next(
        (n for n, each in enumerate(world.entries)
         if wanted in each.read_text() and any(word in each.read_text() for word in standing)), -1
    )  # fmt: skip
    for file in world.entries[first:]:
        file.unlink()


def emptied(world: World, _: str) -> None:
    for file in world.entries:
        file.unlink()


def forged(world: World, wanted: str) -> None:
    """Checks and an approval, under the approver's name, signed with a key of one's own."""
    private = generate_private_key(SECP256R1())
    mine = Signer(signer(world.store, APPROVER, world.root).public, Path("nowhere"), private)
    signed(world, wanted, mine)


def exchanged(world: World, wanted: str) -> None:
    """The bytes of what is wanted, in the place of what is pinned."""
    store = world.root / "prod" / "store"
    shutil.rmtree(store / key_of(world.good))
    shutil.copytree(store / key_of(wanted), store / key_of(world.good))
    pin(world.file, world.good)


def signed(world: World, wanted: str, by: Signer) -> None:
    """Passing checks and an approval, without the commands."""
    ledger = world.unseen_chain()
    ledger.append("gated", by, wanted, {"passed": True, "checks": []})
    ledger.append("approved", by, wanted, {"expires_at": "2999-01-01T00:00:00+00:00"})


def signed_as(name: str) -> Attack:
    return lambda world, wanted: signed(world, wanted, signer(world.store, name, world.root))


def cut_and_signed_as(name: str) -> Attack:
    """The chain is whole again: who holds a key writes another end to it."""

    def run(world: World, wanted: str) -> None:
        cut(world, wanted)
        signed(world, wanted, signer(world.store, name, world.root))

    return run


def approved_as(name: str) -> Attack:
    """By the command, as `mlops approve` runs it."""

    def run(world: World, wanted: str) -> str | None:
        try:
            prod = world.prod
            approve(prod, wanted, 14, prod.signer(name), load_problem())
        except MlopsError as error:
            return _refused(error)
        return None

    return run


def pinned_without_head(world: World, wanted: str) -> None:
    unpin(world.file)
    pin(world.file, wanted)


def as_challenger(world: World, wanted: str) -> None:
    pin(world.file, world.good)
    with world.file.open("a") as file:
        file.write(f'  mlops:challenger: {{release: "{wanted}", mode: canary, weight: 1}}\n')


def reloaded(world: World, wanted: str) -> str | None:
    """The file that says what to serve, and the server told to look: whoever can write the one has the other."""
    file = world.root / "deployment.json"
    file.write_text(json.dumps({"release": wanted}))
    store = world.store
    host = ModelHost(
        file, store, world.root / "cache", 1000, load_problem().canary, ServerMetrics(),
        require=partial(require_allowed, store, PLACE.ledger(store), PLACE.rules),
    )  # fmt: skip
    try:
        asyncio.run(host.reload())
    except MlopsError as error:
        return _refused(error)
    return THROUGH


def other_server(world: World, wanted: str) -> str:
    """On the endpoint's port, past every check: `mlops verify` and the monitor ask what answers there."""
    verdict = Judge(world.store, PLACE)([wanted])
    prod = world.prod
    try:
        require_allowed(prod.store, prod.ledger, prod.rules, wanted)  # as verify asks
    except MlopsError:
        return THROUGH if verdict.holds else "noticed: by verify and the monitor"
    return "noticed: by the monitor" if not verdict.holds else THROUGH


def candidate_changed(world: World, _: str) -> str | None:
    client = MlflowClient(world.mlflow_uri)
    run = client.create_run(client.create_experiment(world.root.as_posix())).info.run_id
    client.log_artifacts(run, str(world.candidate), "candidate")
    files = file_digests(world.candidate, unlisted=frozenset())
    vouched = Voucher.model_validate(
        {"stack": "local-dev", "problem": "p", "run_id": run, "made_at": "2026-01-01T00:00:00Z", "made_by": AUTHOR,
         "files": files}
    )  # fmt: skip
    (world.root / "model.pkl").write_bytes(b"evil")
    client.log_artifact(run, str(world.root / "model.pkl"), "candidate/model")
    scratch = world.root / "scratch"
    scratch.mkdir()
    try:
        bring(vouched, scratch, world.mlflow_uri)
    except MlopsError as error:
        return _refused(error)
    return THROUGH


RIGHTS: Final[dict[str, tuple[Attack, ...]]] = {
    "store": (altered, cut, emptied, forged, exchanged),
    "stack's file": (pinned_without_head, as_challenger),
    "environment's folder": (reloaded, other_server),
    "tracking server": (candidate_changed,),
    "author's key": (approved_as(AUTHOR),),
    "approver's key": (approved_as(APPROVER),),
    "CI's key": (approved_as(CI),),
}
KEYS: Final = {"author's key": AUTHOR, "approver's key": APPROVER, "CI's key": CI}


def attacks_of(rights: tuple[str, ...]) -> list[tuple[Attack, ...]]:
    """What can be done, in order: each right's own, after one another, and what two allow that neither does."""
    own = [(attack,) for right in rights for attack in RIGHTS[right]]
    both = [
        pair for one, other in combinations(rights, 2) for first in RIGHTS[one] for second in RIGHTS[other]
        for pair in ((first, second), (second, first))
    ]  # fmt: skip
    if "store" not in rights:
        return own + both
    written = [make(KEYS[key]) for key in rights if key in KEYS for make in (signed_as, cut_and_signed_as)]
    after = [(attack, pinned_without_head) for attack in written] if "stack's file" in rights else []
    return own + both + [(attack,) for attack in written] + after


@pytest.fixture(scope="module")
def chain(
    tmp_path_factory: pytest.TempPathFactory, candidate: Path, small_problem: Problem, mlflow_uri: str
) -> Iterator[World]:
    """DEV, TEST and PROD, and what is wanted: one that nobody approved, one that failed PROD's checks, two retired."""
    root = tmp_path_factory.mktemp("rights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(root / "config"))
        patch.setenv("MLOPS_PROBLEM", str(root / "problem.yaml"))
        (root / "problem.yaml").write_text(small_problem.model_dump_json())
        load_problem.cache_clear()
        dev, test, prod = (stage(root, environment) for environment in ("dev", "test", "prod"))
        new_key(CI, None, is_machine=True)

        def up(digest: str) -> str:
            pin(prod.file, digest)
            return record_deployed(prod.store.uri, "local-prod", "prod", digest, "http://127.0.0.1:1", root)

        releases: dict[str, str] = {}
        for version, name in enumerate((*GOALS, "good")):
            releases[name] = digest = release_into(dev, candidate, small_problem, version=str(version))
            brought(dev, test, digest)
            brought(test, prod, digest)
        prod.append("gated", prod.signer(AUTHOR), releases["failed"], {"passed": False, "checks": []})
        for name in ("retired", "just retired", "good"):
            approve(prod, releases[name], 14, prod.signer(APPROVER), small_problem)
            recorded = up(releases[name])
            if name == "just retired":  # once another serves
                retire(prod, releases["retired"], "a leak was found", prod.signer(AUTHOR))
        retire(prod, releases["just retired"], "a leak was found", prod.signer(AUTHOR))
        yield World(root, releases, releases.pop("good"), recorded, mlflow_uri, candidate)
        load_problem.cache_clear()


def played(chain: World, root: Path, attacks: tuple[Attack, ...], wanted: str, *, seen: bool) -> set[str]:
    world = chain.copy(root)
    if seen or reloaded in attacks or other_server in attacks:  # a server and its monitor have read its ledger
        world.prod.ledger.entries()
    pin(world.file, wanted)
    met: set[str] = set()
    for attack in attacks:
        try:
            if said := attack(world, wanted):
                met.add(said)
        except MlopsError as error:  # the attack can't go on from there
            met.add(_refused(error))
    try:
        served = world.up()
    except (PinRefused, ConfigInvalid) as error:
        return met | {_refused(error)}
    return met | {THROUGH} if wanted in served else met


def outcome(chain: World, tmp_path: Path, rights: tuple[str, ...], goal: str) -> str:
    """What came of the worst, in the words of the table."""
    wanted, found = chain.releases[goal], set[str]()
    for number, attacks in enumerate(attacks_of(rights)):
        (tmp_path / f"{number}").mkdir()
        met = played(chain, tmp_path / f"{number}", attacks, wanted, seen=False)
        if THROUGH in met:
            (tmp_path / f"{number}-seen").mkdir()
            if THROUGH not in played(chain, tmp_path / f"{number}-seen", attacks, wanted, seen=True):
                met = met - {THROUGH} | {UNSEEN}
        found |= met
    for through in (THROUGH, UNSEEN):
        if through in found:
            return through
    refused = sorted(each.removeprefix("refused: ") for each in found if each.startswith("refused"))
    noticed = sorted(each for each in found if each.startswith("noticed"))
    return "; ".join([*([f"refused: {', '.join(refused)}"] if refused else []), *noticed])


def in_docs() -> dict[tuple[str, ...], dict[str, str]]:
    """The table's rows by rights, each cell by goal."""
    text = DOCS.read_text(encoding="utf-8").partition("## Who can reach what")[2]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in row] for row in rows]
    return {
        tuple(row[0].split(" + ")): dict(zip(GOALS, row[1:], strict=True)) for row in cells if len(row) > len(GOALS)
    }


SINGLES: Final = [(right,) for right in RIGHTS]
MORE: Final = [  # what two do that neither does, or that is worth to be read
    ("store", "stack's file"),
    ("store", "author's key"),
    ("store", "approver's key"),
    ("store", "author's key", "approver's key"),
    ("store", "stack's file", "CI's key"),
]
OTHERS: Final = [pair for pair in combinations(RIGHTS, 2) if pair not in MORE]


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("rights", [*SINGLES, *MORE], ids=" + ".join)
def test_the_table_says_what_came_of_it(chain: World, tmp_path: Path, rights: tuple[str, ...], goal: str) -> None:
    assert outcome(chain, tmp_path, rights, goal) == in_docs()[rights][goal]


@pytest.mark.parametrize("goal", ["failed", "just retired"])  # the hardest, and what the fewest have heard of
@pytest.mark.parametrize("rights", OTHERS, ids=" + ".join)
def test_another_pair_does_no_more_than_its_two(
    chain: World, tmp_path: Path, rights: tuple[str, ...], goal: str
) -> None:
    """One after the other, in both orders."""
    assert not {THROUGH, UNSEEN} & {in_docs()[right,][goal] for right in rights}
    assert outcome(chain, tmp_path, rights, goal) not in (THROUGH, UNSEEN)


def test_every_right_and_every_pair_that_does_more_stands_in_the_table() -> None:
    assert list(in_docs()) == [*SINGLES, *MORE]


def test_no_right_alone_gets_what_was_refused_served() -> None:
    """What an approver approves, after its checks passed, is approved: that is the right."""
    through = {
        (right, goal)
        for (right, *more), cells in in_docs().items()
        for goal, came in cells.items()
        if not more and came in (THROUGH, UNSEEN)
    }
    assert through == {("approver's key", "unapproved")}
