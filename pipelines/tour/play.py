"""What the stops share: run a command as a person would and keep what it said, and ask what is so."""

import json
import time
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml.predictions import read_log
from ml.problem import load_problem
from ml.store import Store
from pipelines._sandbox import Sandbox
from pipelines._steps import PROJECT
from pipelines.tour.record import Record, Step

__all__ = ["APPROVER", "DEV", "PROD", "STACKS", "TEST", "Play", "short"]

DEV, TEST, PROD = STACKS = ("local-dev", "local-test", "local-prod")
APPROVER = "second-person"
LOG_TIMEOUT_S = 240
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass
class Play:
    """The environments, the record, and when the year of traffic had ended."""

    sandbox: Sandbox
    record: Record
    year_ended_at: datetime = BEGINNING

    def __post_init__(self) -> None:
        (self.sandbox.folder / "data").symlink_to(PROJECT / "data")

    @property
    def truth(self) -> Path:
        """Where the year's outcomes wait."""
        return self.sandbox.folder / "truth.csv"

    def mlops(self, step: Step, *words: str, fails: bool = False) -> str:
        """Run a command; all it printed."""
        output = self.sandbox.mlops(*words, fails=fails)
        step.saw(f"mlops {' '.join(words)}", output)
        return output

    def ask(self, step: Step, *words: str) -> Any:
        """Run a command with --json; its answer."""
        answer = self.sandbox.ask(*words)
        step.saw(f"mlops {' '.join(words)} --json", json.dumps(answer, indent=2))
        return answer

    def up(self, step: Step, stack: str, *, fails: bool = False) -> str:
        """`pulumi up`; all it printed."""
        output = self.sandbox.up(stack, fails=fails)
        step.saw(f"pulumi up --stack {stack}", output)
        return output

    def replay(self, step: Step, stack: str, *words: str) -> dict[str, Any]:
        """Play the live rows against a stack; what became of them."""
        return self.ask(step, "replay", "--stack", stack, "--dataset", load_problem().split.live, *words)

    def monitor(self, step: Step, title: str, *words: str) -> dict[str, Any]:
        """Look at a window of PROD; the report, which is kept beside the tour's."""
        report = self.ask(step, "monitor", "run", "--stack", PROD, *words)
        number = len(list(self.sandbox.folder.glob("monitoring-*.html"))) + 1
        page = self.sandbox.folder / f"monitoring-{number}.html"
        page.write_bytes(self.store(PROD).read(report["page"]))
        step.page(f"{title}: the monitor's report", page)
        return report

    def serves(self, stack: str) -> str:
        """The release that the stack's outputs name; empty before the first."""
        return self.sandbox.outputs(stack).get("release") or ""

    def answers(self, stack: str) -> str:
        """The release that answers a prediction now."""
        return self.sandbox.ask("predict", "--stack", stack)["release"]

    def ready(self, stack: str) -> dict[str, Any]:
        """What the model server says of itself."""
        url = f"{self.sandbox.outputs(stack)['endpoint_url']}/ready"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 # the stack's own loopback URL
            return json.load(answer)

    def pinned(self, stack: str) -> str:
        """The release that the stack's file pins."""
        return self.sandbox.config(stack)["mlops:release"]

    def store(self, stack: str) -> Store:
        """The environment's object store."""
        return Store((self.sandbox.root(stack) / "store").as_uri())

    def wait_for_log(self, rows: int) -> None:
        """The server brings its log to the store every minute; wait until it has."""
        store, problem, deadline = self.store(PROD), load_problem(), time.monotonic() + LOG_TIMEOUT_S
        while read_log(store, problem, BEGINNING, datetime.now(UTC), ["prediction_id"]).num_rows < rows:
            if time.monotonic() > deadline:
                raise RuntimeError(f"The log did not hold {rows} rows within {LOG_TIMEOUT_S} s.")
            time.sleep(1)


def short(digest: str) -> str:
    """A digest as people tell digests apart."""
    return f"{digest[:15]}…"
