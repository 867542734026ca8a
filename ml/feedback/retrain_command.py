"""`mlops retrain`."""

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ml.errors import InputRefused
from ml.problem import load_problem
from ml.runtime import Runtime
from ml.store import Store

if TYPE_CHECKING:
    from ml.feedback.retrain import Retrained
    from ml.feedback.triggers import Verdict

__all__ = ["retrain"]

MINIMUM_REASON = 10  # characters, as for a retirement


@click.command(epilog="Example: mlops retrain --stack local-prod --to local-dev --check")
@click.option(
    "--stack", help="The stack whose champion is challenged; by default the one that MLOPS_RUNTIME describes."
)
@click.option("--to", "target", help="The stack to train in and release to, a dev one  [default: the same stack]")
@click.option("--check", is_flag=True, help="Say whether it is time, and train nothing.")
@click.option("--request", is_flag=True, help="With --check: when it is time, ask the platform for a training.")
@click.option(
    "--trust-labels",
    "trusted",
    metavar="REASON",
    help="Learn from labels that contradict the champion's scores, for this reason; it is recorded.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="The checkout, with the data files.  [default: here]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def retrain(
    stack: str | None, target: str | None, check: bool, request: bool, trusted: str | None, root: Path, as_json: bool
) -> None:
    """Train a challenger when it is time: for its age, drift, performance or enough new labels.

    It passes the gates of every release, is not worse than the champion on the newest labelled predictions, and ends
    as a release candidate that is pinned nowhere. However often this is called, one run is under way at a time.
    Labels that contradict the champion's scores, like labels at random, are left out unless --trust-labels says why
    they are right. Exit code 3 when the challenger fails a gate.
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
    if request and trusted:
        raise click.UsageError("--trust-labels goes with a training of your own: one that is asked for trusts nobody.")
    if trusted is not None and len(trusted.strip()) < MINIMUM_REASON:
        raise InputRefused(f"{trusted!r} gives no reason that somebody could understand later. Say it in a sentence.")
    if check:
        verdict = judge(problem, source, datetime.now(UTC), trusted)[0]
        _show(Retrained(verdict), source.stack, as_json)
        if request and verdict.is_due:
            asked = ask(Store(source.store_uri), verdict, datetime.now(UTC))
            click.echo(f"Asked for a training: {asked}", err=True)
        return
    into = Runtime.load(target) if target and target != stack else source
    try:
        _show(run(problem, source, into, root.resolve(), progress, trusted=trusted), into.stack, as_json)
    except Busy as busy:  # what was asked for is happening
        click.echo(json.dumps({"run": None, "release": None, "busy": str(busy)}) if as_json else str(busy))


def _show(done: "Retrained", stack: str, as_json: bool) -> None:
    if as_json:
        result = {"is_due": done.verdict.is_due, **asdict(done.verdict), "run": done.run, "release": done.release}
        comparison = done.comparison.model_dump(mode="json") if done.comparison else None
        click.echo(json.dumps(result | {"tracking_run": done.tracking_run, "comparison": comparison}, indent=2))
        return
    click.echo(_as_text(done.verdict))
    if done.comparison:
        from ml.feedback.challenger import said

        click.echo("\n".join(["", *said(done.comparison)]))
    if done.release:
        click.echo(f"\nRun       {done.run}\nDigest    {done.release}\nPinned    nowhere: a release candidate")
        click.echo(f"Next      mlops release --stack {stack} --run {done.tracking_run}, which pins it")


def _as_text(verdict: "Verdict") -> str:
    lines = [f"{'yes' if t.holds else 'no':<5}{t.kind:<13}{t.says}" for t in verdict.triggers]
    lines += [f"but  {hindrance}" for hindrance in verdict.hindrances]
    lines += [f"{'trusted' if verdict.trusted else 'left out'}  {doubt}" for doubt in verdict.doubts]
    if verdict.doubts and not verdict.trusted:
        lines.append('Look at them. If they are right: mlops retrain --trust-labels "why", which is recorded.')
    return "\n".join([*lines, "", f"A challenger is {'due' if verdict.is_due else 'not due'}."])
