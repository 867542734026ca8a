"""`make tour`: a model's whole life on three local environments, ending in a one-page report."""

import json
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import click
import pyarrow.parquet as pq

from infra.engine.install import EngineMissing, install
from ml.predictions import read_log
from ml.problem import load_problem
from ml.store import Store
from pipelines._report import Record, Step
from pipelines._sandbox import Sandbox
from pipelines._steps import PROJECT, say

DEV, TEST, PROD = STACKS = ("local-dev", "local-test", "local-prod")
FOLDER = PROJECT / ".mlops" / "tour"
REPORT = PROJECT / ".mlops" / "tour.html"
APPROVER = "second-person"
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
LOG_TIMEOUT_S = 150


class Tour:
    """The stops of the tour; each leaves the environments as the next one finds them."""

    def __init__(self, sandbox: Sandbox, record: Record) -> None:
        self.sandbox, self.record = sandbox, record
        self.truth = sandbox.folder / "truth.csv"

    def run(self) -> None:
        """Every stop, in order; the first that fails ends the tour."""
        self.provision()
        self.train()
        self.promote(DEV, TEST)
        self.promote_to_prod()
        self.serve_a_year()
        self.see_drift()
        self.join_labels()
        self.review()
        self.retrain()
        self.try_beside_the_champion()
        self.roll_back_what_cannot_serve()
        self.erase()
        self.verify()

    def provision(self) -> None:
        """Bring up three environments at once."""
        why = "Store, tracking server, supervisor and monitor of each, by the same program; no release yet."
        with self.record.step("Three environments", why) as step:
            for stack in STACKS:
                self.sandbox.add_stack(stack)
            with ThreadPoolExecutor(2) as pool:
                for stack, output in zip(STACKS, pool.map(self.sandbox.up, STACKS), strict=True):
                    step.saw(f"pulumi up --stack {stack}", output)
            step.fact(f"{', '.join(STACKS)} run at once, {self._processes()} processes")

    def train(self) -> None:
        """Train on 2015, gate on 2016, serve in DEV."""
        why = "A rule, a linear model and boosting, compared on a validation split; the gates judge the best on 2016."
        with self.record.step("Train, gate, release in DEV", why) as step:
            self._mlops(step, "train", "--stack", DEV, "--root", str(PROJECT))
            released = self.sandbox.ask("release", "--stack", DEV)
            step.fact(f"{len(released['manifest']['gates'])} gates passed; the release is {released['digest']}")
            self._up(step, DEV)
            step.fact("the endpoint in DEV serves it", holds=self._serves(DEV) == released["digest"])

    def promote(self, source: str, target: str) -> None:
        """Copy, verify, check where it arrives, pin, and serve."""
        why = "The same bytes, verified on arrival and checked by the receiving environment before they are pinned."
        with self.record.step(f"Promote to {target.rpartition('-')[2].upper()}", why) as step:
            self._mlops(step, "promote", "--from", source, "--to", target)
            self._up(step, target)
            step.fact(f"{target} serves the digest of {source}", holds=self._serves(target) == self._serves(source))

    def promote_to_prod(self) -> None:
        """Promote to PROD: refused until somebody other than the author approves."""
        why = "PROD asks for an approval that is signed by another person's key and that expires."
        with self.record.step("Promote to PROD, with approval", why) as step:
            self._mlops(step, "promote", "--from", TEST, "--to", PROD)
            digest = self._pinned(PROD)
            refused = self.sandbox.pulumi("preview", "--stack", PROD, fails=True)
            step.saw(f"pulumi preview --stack {PROD}", refused)
            step.fact("preview refuses it: nobody has approved", holds="is not approved" in refused)
            own = self._mlops(step, "approve", "--stack", PROD, "--release", digest, fails=True)
            step.fact("its author's approval is refused", holds="can't approve it" in own)
            self._mlops(step, "keys", "new", "--local", APPROVER)
            self._mlops(step, "approve", "--stack", PROD, "--release", digest, "--as", APPROVER)
            self._up(step, PROD)
            step.fact("with a second person's approval, PROD serves it", holds=self._serves(PROD) == digest)

    def serve_a_year(self) -> None:
        """Replay the year that nobody trained on; every answer is logged."""
        why = "Every person of the 2017 survey asks PROD; who was in work is kept aside, as it is known a year later."
        with self.record.step("Serve a year of traffic", why) as step:
            played = self._replay(step, "--truth", str(self.truth))
            step.fact(
                f"{played['rows']:,} predictions in {played['seconds']:.0f} s, none failed",
                holds=not played["failures"],
            )
            self._wait_for_log(played["rows"])
            step.fact("each of them is in the prediction log, once")

    def see_drift(self) -> None:
        """Monitor the year, then a shifted population."""
        why = (
            "2017 differs from 2015 for certain, but too little to matter. So that an alert is seen, too, young people\
 alone ask: that population is made for the tour."
        )
        with self.record.step("See drift", why) as step:
            report = self._monitor(step)
            step.fact(f"2017: {report['drift']['summary']}", holds=not report["drift"]["alert"])
            since = datetime.now(UTC)
            shifted = self._replay(step, "--where", "AGEP=17..30", "--rows", "4000")
            self._wait_for_log(shifted["rows"], since)
            report = self._monitor(step, "--since", since.strftime("%Y-%m-%dT%H:%M:%S"))
            step.fact(f"ages 17 to 30: {report['drift']['summary']}", holds=report["drift"]["alert"])

    def join_labels(self) -> None:
        """Deliver the year's outcomes."""
        why = "Outcomes arrive late, by file; doubled and unknown ones are reported and kept aside."
        with self.record.step("Join labels", why) as step:
            with self.truth.open("a", encoding="utf-8") as file:
                file.write("nobody-asked-this,1\n")
            report = self.sandbox.ask("labels", "add", str(self.truth), "--stack", PROD)
            step.saw(f"mlops labels add {self.truth.name} --stack {PROD}", json.dumps(report, indent=2))
            rejected = sum(report["rejected"].values())
            step.fact(
                f"{report['accepted']:,} labels joined, {rejected} of an unknown prediction kept aside",
                holds=rejected == 1,
            )
            performance = self._monitor(step)["performance"]
            step.fact(f"performance with labels: {performance['summary']}")

    def review(self) -> None:
        """An expert confirms one doubtful case and overrules another."""
        why = "Scores near the threshold, unusual rows and a random sample wait for an expert; decisions become labels."
        with self.record.step("Expert review", why) as step:
            cases = self.sandbox.ask("review", "list", "--stack", PROD)
            step.fact(f"{len(cases)} cases wait", holds=len(cases) > 1)
            self._mlops(step, "review", "show", cases[0]["case"], "--stack", PROD)
            self._mlops(step, "review", "decide", cases[0]["case"], "--stack", PROD, "--confirm")
            note = ("--overrule", "--note", "The tour's expert knows better")
            self._mlops(step, "review", "decide", cases[1]["case"], "--stack", PROD, *note)
            left = self.sandbox.ask("review", "list", "--stack", PROD)
            waiting = {case["case"] for case in left}
            step.fact("both are decided and gone from the queue", holds=not waiting & {c["case"] for c in cases[:2]})

    def retrain(self) -> None:
        """Train a challenger on the newer window; it must pass the same gates and beat the champion or equal it."""
        why = "Enough new labels ask for it. It ends as a release candidate in DEV, pinned nowhere."
        with self.record.step("Retrain", why) as step:
            before = self._pinned(PROD)
            done = self.sandbox.ask("retrain", "--stack", PROD, "--to", DEV, "--root", str(PROJECT))
            step.saw(f"mlops retrain --stack {PROD} --to {DEV}", json.dumps(done, indent=2))
            step.fact(f"the candidate is {done['release']}", holds=bool(done["release"]))
            step.fact("nothing was pinned by it", holds=self._pinned(PROD) == before == self._pinned(DEV))
            self._mlops(step, "release", "--stack", DEV, "--run", done["tracking_run"])
            self._up(step, DEV)
            step.fact("pinned on purpose, it serves in DEV", holds=self._serves(DEV) == done["release"])
        self.promote(DEV, TEST)

    def try_beside_the_champion(self) -> None:
        """Canary in PROD, then the whole traffic."""
        why = (
            "The server itself gives the challenger a share of the requests, and takes it back when limits are crossed."
        )
        with self.record.step("Canary in PROD", why) as step:
            champion = self._pinned(PROD)
            self._mlops(step, "promote", "--from", TEST, "--to", PROD)
            challenger = self._pinned(PROD)
            self._mlops(step, "approve", "--stack", PROD, "--release", challenger, "--as", APPROVER)
            stated = {"release": challenger, "mode": "canary", "weight": 0.25}
            self.sandbox.configure(PROD, {"mlops:release": champion, "mlops:challenger": stated})
            self._up(step, PROD)
            played = self._replay(step, "--rows", "4000", "--batch", "10", "--seed", "1")
            shares = {release: rows / played["rows"] for release, rows in played["releases"].items()}
            near = abs(shares.get(challenger, 0) - 0.25) < 0.1
            step.fact(f"the challenger answered {shares.get(challenger, 0):.0%}, the champion the rest", holds=near)
            self.sandbox.configure(PROD, {"mlops:release": challenger, "mlops:challenger": None})
            self._up(step, PROD)
            step.fact("promoted to champion, it answers everything", holds=self._answering(PROD) == challenger)

    def erase(self) -> None:
        """Remove a person from everything that PROD holds, and prove it."""
        why = "The person is named by the subject that the requests carried; the store holds a keyed pseudonym only."
        with self.record.step("Erase a person", why) as step:
            subject = self._somebody()
            held = self._mlops(step, "subject-export", "--stack", PROD, "--subject", subject)
            step.fact(f"{subject} is in the log", holds='"prediction_id"' in held)
            self._mlops(step, "erase", "--stack", PROD, "--subject", subject)
            left = self._mlops(step, "subject-export", "--stack", PROD, "--subject", subject)
            step.fact("nothing is held any more", holds='"prediction_id"' not in left)

    def roll_back_what_cannot_serve(self) -> None:
        """A release that passed everything on paper but can't be loaded: the update fails and the old one serves on."""
        why = "Its model file is damaged before it is bundled and signed, so digest and signature hold; loading fails."
        with self.record.step("A bad release returns by itself", why) as step:
            before = self._serves(DEV)
            bad = self.sandbox.run(sys.executable, "-m", "pipelines._bad_release", DEV).stdout.strip()
            self.sandbox.configure(DEV, {"mlops:release": bad})
            output = self.sandbox.up(DEV, fails=True)
            step.saw(f"pulumi up --stack {DEV}", output)
            step.fact("the update fails and says why", holds="keeps the release it has" in output)
            step.fact("the release before it serves on", holds=self._answering(DEV) == before)
            self._mlops(step, "rollback", "--stack", DEV, "--to", before or "")
            self._up(step, DEV)

    def verify(self) -> None:
        """Check every signature, digest and chain link of all three."""
        why = "Offline, in one command: the ledgers' chains, every bundle's bytes, every signature, every approval."
        with self.record.step("Verify everything", why) as step:
            output = self._mlops(step, "verify", *(word for stack in STACKS for word in ("--stack", stack)))
            step.fact(output.strip().splitlines()[-1])
            self._mlops(step, "releases", *(word for stack in STACKS for word in ("--stack", stack)))

    def _replay(self, step: Step, *words: str) -> dict[str, Any]:
        command = ("replay", "--stack", PROD, "--dataset", "2017", "--root", str(PROJECT), *words)
        played = self.sandbox.ask(*command)
        step.saw(f"mlops {' '.join(command)}", json.dumps(played, indent=2))
        return played

    def _monitor(self, step: Step, *words: str) -> dict[str, Any]:
        report = self.sandbox.ask("monitor", "run", "--stack", PROD, *words)
        step.saw(f"mlops monitor run --stack {PROD} {' '.join(words)}", json.dumps(report, indent=2)[:4000])
        return report

    def _wait_for_log(self, rows: int, since: datetime = BEGINNING) -> None:
        """The server brings its log to the store every minute; wait until it has."""
        store, deadline = Store(self.sandbox.outputs(PROD)["store_uri"]), time.monotonic() + LOG_TIMEOUT_S
        while read_log(store, load_problem(), since, datetime.now(UTC), ["prediction_id"]).num_rows < rows:
            if time.monotonic() > deadline:
                raise RuntimeError(f"The log did not hold {rows} rows within {LOG_TIMEOUT_S} s.")
            time.sleep(1)

    def _somebody(self) -> str:
        """One of the people of 2017, by the name that the replay gave as subject."""
        problem = load_problem()
        file = PROJECT / problem.datasets.root / problem.datasets.files["2017"].path
        ages = pq.read_table(file, columns=[problem.identifier, "AGEP"]).to_pylist()
        return f"2017-{next(person[problem.identifier] for person in ages if person['AGEP'] == 40)}"

    def _mlops(self, step: Step, *words: str, fails: bool = False) -> str:
        output = self.sandbox.mlops(*words, fails=fails)
        step.saw(f"mlops {' '.join(words)}", output)
        return output

    def _up(self, step: Step, stack: str) -> None:
        step.saw(f"pulumi up --stack {stack}", self.sandbox.up(stack))

    def _serves(self, stack: str) -> str | None:
        return self.sandbox.outputs(stack).get("release")

    def _answering(self, stack: str) -> str:
        return self.sandbox.ask("predict", "--stack", stack)["release"]

    def _pinned(self, stack: str) -> str:
        return self.sandbox.config(stack)["mlops:release"]

    def _processes(self) -> int:
        return sum(len(self.sandbox.processes(stack)) for stack in STACKS)


@click.command()
def tour() -> None:
    """Play a model's whole life on three local environments of its own; your stacks are not touched.

    Example: python -m pipelines.tour
    """
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        sandbox = Sandbox(FOLDER, install(say))
    except EngineMissing as error:
        raise click.ClickException(str(error)) from error
    record = Record()
    try:
        Tour(sandbox, record).run()
    except RuntimeError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    finally:
        sandbox.end()
        record.write(REPORT)
        click.echo(f"The report: {REPORT.as_uri()}")


if __name__ == "__main__":
    tour()
