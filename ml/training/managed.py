"""`mlops train` where the stack's platform trains: start or follow its job, and show the candidate that comes back."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import click

from ml.bundle.gate_table import shown, table, verdict
from ml.bundle.job_result import JobResult
from ml.bundle.manifest import MetricResult
from ml.errors import InputRefused
from ml.platform import platform_of
from ml.problem import load_problem
from ml.runtime import Runtime

__all__ = ["train_on_the_platform"]

INTERRUPTED = 130  # as a shell says of a program that Ctrl-C ended
Progress = Callable[[str], None]


def train_on_the_platform(
    runtime: Runtime, root: Path, progress: Progress, execution: str | None = None, *, as_json: bool = False
) -> None:
    """Start a training, unless one is given to follow, and print its candidate; Ctrl-C leaves it running."""
    platform = platform_of(runtime)
    if execution and not platform.has_named(execution):
        raise InputRefused(f"{execution!r} is no training of {runtime.stack}, as `mlops train` prints it.")
    execution = execution or platform.train(load_problem(), runtime, root, progress)
    try:
        candidate = platform.follow_training(execution, progress, _show, runtime)
    except KeyboardInterrupt:
        _left_running(runtime, execution, platform.stop_command(execution))
    click.echo(
        json.dumps(_as_json(runtime, execution, candidate), indent=2) if as_json else _as_text(runtime, candidate)
    )
    sys.stdout.flush()


def _show(line: str) -> None:
    """A line of the job's log, set off from what we say ourselves."""
    click.echo(f"         | {line}", err=True)


def _left_running(runtime: Runtime, execution: str, stop_command: str) -> NoReturn:
    click.echo(
        "\nThe training goes on without this command.\n"
        f"Follow it  mlops train --stack {runtime.stack} --follow {execution}\n"
        f"Stop it    {stop_command}",
        err=True,
    )
    sys.exit(INTERRUPTED)


def _as_text(runtime: Runtime, candidate: JobResult) -> str:
    lines = [
        f"{candidate.evaluation.candidate} on {candidate.evaluation.test_rows:,} test rows",
        *_metrics(candidate.evaluation.metrics),
        "",
        table(candidate.gates),
        "",
        verdict(candidate.gates),
        f"Model     {candidate.model_uri}",
        f"Run       {candidate.run_id or 'none: the job was told no stack to log to'}",
    ]
    if candidate.run_id:
        lines.append(f"Next      mlops release --stack {runtime.stack} --run {candidate.run_id}")
    return "\n".join(lines)


def _metrics(metrics: tuple[MetricResult, ...]) -> Iterator[str]:
    yield f"{'metric':<20}{'candidate':>11}{'baseline':>11}  difference"
    for metric in metrics:
        baseline = f"{metric.baseline:>11.4f}" if metric.baseline is not None else f"{'':>11}"
        between = (metric.difference_low, metric.difference_high)
        known = f"  {between[0]:+.4f} to {between[1]:+.4f}" if between[0] is not None and between[1] is not None else ""
        yield f"{metric.name:<20}{shown(metric.value):>11}{baseline}{known}"


def _as_json(runtime: Runtime, execution: str, candidate: JobResult) -> dict[str, object]:
    return {
        "stack": runtime.stack,
        "execution": execution,
        "job": candidate.job,
        "model_uri": candidate.model_uri,
        "run_id": candidate.run_id,
        "evaluation": candidate.evaluation.model_dump(mode="json"),
        "gates": [gate.model_dump(mode="json") for gate in candidate.gates],
    }
