"""The stops that are about releases: made, promoted, approved, tried beside another, taken back, verified."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from ml.bundle.bundle import read_manifest
from ml.problem import load_problem
from ml.release.in_force import code_objection
from pipelines.tour.play import APPROVER, DEV, PROD, STACKS, TEST, Play, short

__all__ = [
    "document_and_verify",
    "promote",
    "promote_to_prod",
    "provision",
    "return_by_itself",
    "train",
    "try_beside_the_champion",
]


def provision(play: Play) -> None:
    """Bring up three environments at once."""
    why = "Store, tracking server, supervisor and monitor of each, by the same program; no release yet."
    with play.record.step("Three environments", why) as step:
        for stack in STACKS:
            play.sandbox.add_stack(stack)
        with ThreadPoolExecutor(2) as pool:
            for stack, output in zip(STACKS, pool.map(play.sandbox.up, STACKS), strict=True):
                step.saw(f"pulumi up --stack {stack}", output)
        processes = sum(len(play.sandbox.processes(stack)) for stack in STACKS)
        step.fact(f"{processes} processes of {', '.join(STACKS)} run at once", holds=processes >= 3 * len(STACKS))


def train(play: Play) -> None:
    """Train, gate on rows of another time, serve in DEV."""
    test = load_problem().split.test
    why = f"A rule, a linear model and boosting, compared on a validation split; the gates judge the best on {test}."
    with play.record.step("Train, gate, release in DEV", why) as step:
        play.mlops(step, "train", "--stack", DEV)
        gates = len(re.findall(r"^\S+ .* passed", play.mlops(step, "release", "--stack", DEV), re.MULTILINE))
        digest = play.pinned(DEV)
        step.fact(f"{gates} gates passed; the release is {digest}", holds=gates > 0)
        play.up(step, DEV)
        step.fact("the endpoint in DEV serves it", holds=play.serves(DEV) == play.answers(DEV) == digest)
        play.record.figure(str(gates), "gates, all of which block")


def promote(play: Play, source: str, target: str) -> None:
    """Copy, verify, check where it arrives, pin, and serve."""
    why = "The same bytes, verified on arrival and checked by the receiving environment before they are pinned."
    arrives, comes = (stack.rpartition("-")[2].upper() for stack in (target, source))
    with play.record.step(f"Promote to {arrives}", why) as step:
        output = play.mlops(step, "promote", "--from", source, "--to", target, *_waiver(play, source))
        checks = re.findall(r"^(gates|code|smoke|contract|latency|shadow) +passed", output, re.MULTILINE)
        step.fact(f"it passes the checks of {arrives}: {', '.join(checks)}", holds=len(checks) >= 3)
        play.up(step, target)
        step.fact(f"{arrives} serves the digest of {comes}", holds=play.serves(target) == play.serves(source))
        played = play.replay(step, target, "--rows", "500", "--batch", "10", "--seed", "1")
        step.fact(
            f"{arrives} is asked {played['rows']:,} times: the next release is compared with its answers",
            holds=played["rows"] == 500 and not played["failures"],
        )


def _waiver(play: Play, source: str) -> tuple[str, ...]:
    """A tour trains outside any checkout, so that no commit vouches for the code: it has to say why it goes on."""
    if code_objection(read_manifest(play.store(source), play.pinned(source))) is None:
        return ()
    return (
        "--waive-modified-code",
        "a tour: nobody relies on what it decides",
        "--until",
        f"{datetime.now(UTC):%Y-%m-%d}",
    )


def promote_to_prod(play: Play) -> None:
    """Promote to PROD: refused until somebody other than the author approves."""
    why = "PROD asks for an approval that is signed with another person's key and that expires."
    with play.record.step("Promote to PROD, with approval", why) as step:
        play.mlops(step, "promote", "--from", TEST, "--to", PROD, *_waiver(play, TEST))
        digest = play.pinned(PROD)
        refused = play.sandbox.pulumi("preview", "--stack", PROD, fails=True)
        step.saw(f"pulumi preview --stack {PROD}", refused)
        step.fact("preview refuses it: nobody has approved", holds="is not approved" in refused)
        own = play.mlops(step, "approve", "--yes", "--stack", PROD, "--release", digest, fails=True)
        step.fact("its author's own approval is refused", holds="can't approve it" in own)
        play.mlops(step, "keys", "new", "--local", APPROVER)
        play.mlops(step, "approve", "--yes", "--stack", PROD, "--release", digest, "--as", APPROVER)
        play.up(step, PROD)
        step.fact("with a second person's approval, PROD serves it", holds=play.serves(PROD) == digest)


def try_beside_the_champion(play: Play) -> None:
    """Canary in PROD, then the whole traffic."""
    why = "The server itself gives the challenger a share of the requests, and takes it back when limits are crossed."
    with play.record.step("Canary in PROD", why) as step:
        champion = play.pinned(PROD)
        checked = play.mlops(step, "promote", "--from", TEST, "--to", PROD, *_waiver(play, TEST))
        shadow = re.search(r"^shadow +passed +(of .* demanded);", checked, re.MULTILINE)
        step.fact(
            f"before that, as a shadow: {shadow[1] if shadow else 'nothing to compare'}", holds=shadow is not None
        )
        challenger = play.pinned(PROD)
        play.mlops(step, "approve", "--yes", "--stack", PROD, "--release", challenger, "--as", APPROVER)
        stated = {"release": challenger, "mode": "canary", "weight": 0.25}
        play.sandbox.configure(PROD, {"mlops:release": champion, "mlops:challenger": stated})
        play.up(step, PROD)
        played = play.replay(step, PROD, "--rows", "4000", "--batch", "10", "--seed", "1")
        share = played["releases"].get(challenger, 0) / played["rows"]
        step.fact(f"stated 25 %, the challenger answered {share:.0%}, the champion the rest", holds=0.15 < share < 0.35)
        play.sandbox.configure(PROD, {"mlops:release": challenger, "mlops:challenger": None})
        play.up(step, PROD)
        step.fact("pinned as champion, it answers everything", holds=play.answers(PROD) == challenger)


def return_by_itself(play: Play) -> None:
    """Two releases that are whole and signed, but bad: one can't be loaded, the other knows nothing."""
    why = (
        "Both are injected: signed, with gates passed on paper. The model of the first is damaged; the second gives"
        " everybody the same score, and is stated as a canary."
    )
    with play.record.step("Bad releases return by themselves", why) as step:
        before = play.serves(DEV)
        play.sandbox.configure(DEV, {"mlops:release": _inject(play, "damaged")})
        output = play.up(step, DEV, fails=True)
        step.fact("the damaged one: the update fails and says why", holds="keeps the release it has" in output)
        step.fact("the release before it still serves", holds=play.answers(DEV) == before)
        play.mlops(step, "rollback", "--stack", DEV, "--to", before)
        ignorant = _inject(play, "ignorant")
        play.sandbox.configure(DEV, {"mlops:challenger": {"release": ignorant, "mode": "canary", "weight": 0.5}})
        play.up(step, DEV)
        played = play.replay(step, DEV, "--rows", "4000", "--batch", "10")
        state = play.ready(DEV)
        taken_back = state["challenger"] or {}
        step.fact(
            f"the ignorant one is taken back after {played['releases'].get(ignorant, 0):,} of {played['rows']:,}"
            f" answers: {taken_back.get('reason')}",
            holds=taken_back.get("state") == "returned" and state["release"] == before and not played["failures"],
        )


def _inject(play: Play, kind: str) -> str:
    made = play.sandbox.run(sys.executable, "-m", "pipelines.tour.bad_release", DEV, kind)
    return made.stdout.strip()


def document_and_verify(play: Play) -> None:
    """Write the documents, and check every signature, digest and chain link of all three."""
    why = "Offline, in one command: the ledgers' chains, every bundle's bytes, every signature, approvals' too."
    with play.record.step("Verify everything", why) as step:
        stacks = [word for stack in STACKS for word in ("--stack", stack)]
        output = play.mlops(step, "verify", *stacks)
        verdict = output.strip().splitlines()[-1]
        step.fact(
            f"{verdict.removesuffix(' hold.')} signatures, digests, chains and pins hold", holds="BROKEN" not in output
        )
        file = play.store(PROD).path("ledger/00000002.json")
        _flip(file)
        broken = play.mlops(step, "verify", "--stack", PROD, fails=True)
        step.fact("with one bit of PROD's ledger flipped, it finds it", holds="00000002.json" in broken)
        _flip(file)
        play.mlops(step, "document", "--stack", PROD, "--out", str(play.sandbox.folder / "documents"))
        for page in sorted((play.sandbox.folder / "documents").glob("*.html")):
            step.page(page.stem.replace("-", " ").replace("_", " ").capitalize(), page)
        play.mlops(step, "releases", *stacks)
        states = play.sandbox.ask("releases", *stacks)
        play.record.ran = [
            (s["stack"], short(s["release"]), s["version"] or "", s["state"], s["since"][11:16]) for s in states
        ]
        play.record.figure(verdict.split()[0], "signatures, digests, chains and pins verified")


def _flip(file: str) -> None:
    with open(file, "r+b") as ledger:  # noqa: PTH123 # a store's path is text
        byte = ledger.read(200)[-1]
        ledger.seek(199)
        ledger.write(bytes([byte ^ 1]))
