"""`make tour`: a model's whole life on three local environments, ending in a one-page report."""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import click

from infra.engine.install import EngineMissing, install
from pipelines._report import Record, Step
from pipelines._sandbox import Sandbox
from pipelines._steps import PROJECT, say

DEV, TEST, PROD = STACKS = ("local-dev", "local-test", "local-prod")
FOLDER = PROJECT / ".mlops" / "tour"
REPORT = PROJECT / ".mlops" / "tour.html"
APPROVER = "second-person"


class Tour:
    """The stops of the tour; each leaves the environments as the next one finds them."""

    def __init__(self, sandbox: Sandbox, record: Record) -> None:
        self.sandbox, self.record = sandbox, record

    def run(self) -> None:
        """Every stop, in order; the first that fails ends the tour."""
        self.provision()
        self.train()
        self.promote(DEV, TEST)
        self.promote_to_prod()
        self.roll_back_what_cannot_serve()
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
