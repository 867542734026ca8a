"""`mlops replay`."""

import json
import re
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ml.problem import Condition

if TYPE_CHECKING:
    from ml.monitoring.replay import Played

__all__ = ["replay"]

_RANGE = re.compile(r"(?P<column>[^=]+)=(?P<low>-?\d+)\.\.(?P<high>-?\d+)")
_CODES = re.compile(r"(?P<column>[^=]+)=(?P<codes>-?\d+(,-?\d+)*)")


def _conditions(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[Condition, ...]:
    """Each of `COLUMN=LOW..HIGH`, both included, or `COLUMN=CODE,CODE`."""
    return tuple(_condition(value) for value in values)


def _condition(text: str) -> Condition:
    if found := _RANGE.fullmatch(text):
        return Condition(column=found["column"], at_least=int(found["low"]), at_most=int(found["high"]))
    if found := _CODES.fullmatch(text):
        return Condition(column=found["column"], is_in=tuple(map(int, found["codes"].split(","))))
    raise click.BadParameter(f"{text!r} is neither COLUMN=LOW..HIGH nor COLUMN=CODE,CODE.")


@click.command(epilog="Example: mlops replay --stack local-dev --dataset 2017 --truth truth.csv")
@click.option("--stack", help="The stack whose endpoint is asked; by default the one that MLOPS_RUNTIME describes.")
@click.option("--dataset", required=True, help="Which of the problem's datasets.")
@click.option("--rows", type=click.IntRange(1), help="At most so many rows  [default: all]")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="At most so many rows a second.")
@click.option("--batch", default=200, show_default=True, type=click.IntRange(1), help="Rows in one request.")
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUES",
    callback=_conditions,
    help="Only such rows, as COLUMN=LOW..HIGH or COLUMN=CODE,CODE.",
)
@click.option("--shifted", is_flag=True, help="Only the problem's shifted population (split.shifted).")
@click.option("--seed", default=0, show_default=True, help="Fixes which rows come, and in which order.")
@click.option("--name", help="What the requests are called, with a number behind  [default: a new name each time]")
@click.option(
    "--truth",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the outcomes here, as CSV for `mlops labels add`: they arrive when you deliver them.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="The checkout, with the data files.  [default: here]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def replay(
    stack: str | None,
    dataset: str,
    rows: int | None,
    rate: float | None,
    batch: int,
    where: tuple[Condition, ...],
    shifted: bool,
    seed: int,
    name: str | None,
    truth: Path | None,
    root: Path,
    as_json: bool,
) -> None:
    """Play a dataset as live traffic against a stack's endpoint.

    Exit code 1 when a request failed. `--shifted` or `--where` shifts the population, to see what drift looks like.
    """
    from ml.data.read import ingest
    from ml.errors import MlopsError
    from ml.monitoring.replay import Replay, play, traffic
    from ml.problem import load_problem
    from ml.runtime import Runtime
    from ml.store import Store

    problem, runtime = load_problem(), Runtime.load(stack)
    if runtime.endpoint_url is None:
        raise MlopsError(f"{runtime.stack} has no endpoint yet. Run `mlops release`, then `pulumi up`.")
    if shifted:
        where = (*where, *problem.split.shifted.when)
    frame = traffic(problem, ingest(problem, dataset, Store(runtime.store_uri), root), where, rows, seed)
    how = Replay(name or f"replay-{uuid.uuid4().hex[:8]}", batch, rate)
    with click.progressbar(length=len(frame), label=f"Playing {dataset}", file=sys.stderr) as bar:
        played = play(runtime.endpoint_url, problem, frame, dataset, how, bar.update)
    if truth is not None:
        lines = [f"{prediction},{label}" for prediction, label in played.truth]
        truth.write_text("\n".join(["prediction_id,label", *lines]) + "\n", encoding="utf-8")
    click.echo(json.dumps(_as_json(played, how.name, truth), indent=2) if as_json else _as_text(played, truth))
    if played.failures:
        sys.exit(MlopsError.exit_code)


def _as_json(played: "Played", name: str, truth: Path | None) -> dict[str, object]:
    return {
        "name": name,
        "rows": played.rows,
        "seconds": round(played.seconds, 3),
        "releases": dict(played.releases),
        "failures": dict(played.failures),
        "truth": str(truth) if truth else None,
    }


def _as_text(played: "Played", truth: Path | None) -> str:
    answered = [f"  {rows:>9,}  {release}" for release, rows in played.releases.most_common()]
    failed = [f"  {requests:>9,}  {reason}" for reason, requests in played.failures.most_common()]
    return "\n".join(
        [
            f"{played.rows:,} rows answered in {played.seconds:.1f} s, by release:",
            *answered,
            *(["Requests that failed:", *failed] if failed else []),
            *([f"The outcomes are in {truth}."] if truth else []),
        ]
    )
