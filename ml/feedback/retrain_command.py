"""`mlops retrain`."""

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ml.problem import load_problem
from ml.runtime import Runtime
from ml.store import Store

if TYPE_CHECKING:
    from ml.feedback.retrain import Retrained
    from ml.feedback.triggers import Verdict

__all__ = ["retrain"]


@click.command(epilog="Example: mlops retrain --stack local-prod --to local-dev --check")
@click.option(
    "--stack", help="The stack whose champion is challenged; by default the one that MLOPS_RUNTIME describes."
)
@click.option("--to", "target", help="The stack to train in and release to, a dev one  [default: the same stack]")
@click.option("--check", is_flag=True, help="Say whether it is time, and train nothing.")
@click.option("--request", is_flag=True, help="With --check: when it is time, ask the platform for a training.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="The checkout, with the data files.  [default: here]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def retrain(stack: str | None, target: str | None, check: bool, request: bool, root: Path, as_json: bool) -> None:
    """Train a challenger when it is time: for its age, drift, performance or enough new labels.

    It passes the gates of every release, is not worse than the champion on the newest labelled predictions, and ends
    as a release candidate that is pinned nowhere. However often this is called, one run is under way at a time.
    Exit code 3 when the challenger fails a gate.
    """
    source = Runtime.load(stack)
    problem, started = load_problem(), time.monotonic()

    def progress(line: str) -> None:
        click.echo(f"{time.monotonic() - started:5.1f} s  {line}", err=True)

    from ml.feedback.lease import Busy
    from ml.feedback.requests import ask
    from ml.feedback.retrain import Retrained, judge
    from ml.feedback.retrain import retrain as run

    if request and not check:
        raise click.UsageError("--request goes with --check: without it, this command trains itself.")
    if check:
        verdict = judge(problem, source, datetime.now(UTC))[0]
        _show(Retrained(verdict), source.stack, as_json)
        if request and verdict.is_due:
            asked = ask(Store(source.store_uri), verdict, datetime.now(UTC))
            click.echo(f"Asked for a training: {asked}", err=True)
        return
    into = Runtime.load(target) if target and target != stack else source
    try:
        _show(run(problem, source, into, root.resolve(), progress), into.stack, as_json)
    except Busy as busy:  # what was asked for is happening
        click.echo(json.dumps({"run": None, "release": None, "busy": str(busy)}) if as_json else str(busy))


def _show(done: "Retrained", stack: str, as_json: bool) -> None:
    if as_json:
        result = {"is_due": done.verdict.is_due, **asdict(done.verdict), "run": done.run, "release": done.release}
        click.echo(json.dumps(result | {"tracking_run": done.tracking_run}, indent=2))
        return
    click.echo(_as_text(done.verdict))
    if done.release:
        click.echo(f"\nRun       {done.run}\nDigest    {done.release}\nPinned    nowhere: a release candidate")
        click.echo(f"Next      mlops release --stack {stack} --run {done.tracking_run}, which pins it")


def _as_text(verdict: "Verdict") -> str:
    lines = [f"{'yes' if t.holds else 'no':<5}{t.kind:<13}{t.says}" for t in verdict.triggers]
    lines += [f"but  {hindrance}" for hindrance in verdict.hindrances]
    return "\n".join([*lines, "", f"A challenger is {'due' if verdict.is_due else 'not due'}."])
