"""`mlops train`."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ml.problem import load_problem
from ml.runtime import Runtime

if TYPE_CHECKING:
    from ml.training.train import TrainingResult

__all__ = ["train"]

COLUMNS = ("roc_auc", "pr_auc", "calibration_error", "brier", "expected_cost", "accuracy")


@click.command(epilog="Example: mlops train --stack local-dev")
@click.option("--stack", help="The stack to train on; by default the one that MLOPS_RUNTIME describes.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="The checkout, with the data files.  [default: here]",
)
@click.option("--follow", metavar="ARN", help="Follow a training that was started on the stack's platform before.")
@click.option("--here", is_flag=True, help="Train in this process although the stack's platform would.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def train(stack: str | None, root: Path, follow: str | None, here: bool, as_json: bool) -> None:
    """Train, compare and evaluate the candidates; log everything to MLflow.

    Where the stack's platform trains, its job is started and followed: its states and its log are shown, and it goes
    on when this is ended. The gates are shown, not enforced: `mlops release` enforces them.
    """
    runtime = Runtime.load(stack)
    started = time.monotonic()

    def progress(line: str) -> None:
        click.echo(f"{time.monotonic() - started:5.1f} s  {line}", err=True)

    if follow or (runtime.training_job and not here):
        from ml.training.managed import train_on_the_platform

        train_on_the_platform(runtime, root.resolve(), progress, follow, as_json=as_json)
        return
    progress("Loading the training libraries")
    from ml.training.train import train as run_training  # seconds of imports: not before the stack is known

    result = run_training(load_problem(), runtime, root.resolve(), progress)
    click.echo(json.dumps(_as_json(result), indent=2) if as_json else _as_text(result))
    sys.stdout.flush()


def _as_text(result: "TrainingResult") -> str:
    from ml.bundle.gate_table import table, verdict

    trained = result.trained
    head = f"{'validation rows':<16}" + "".join(f"{name:>19}" for name in COLUMNS) + f"{'threshold':>11}"
    lines = [head]
    for candidate in trained.candidates:
        mark = " *" if candidate is trained.chosen else ""
        values = "".join(f"{candidate.validation[name]:>19.4f}" for name in COLUMNS)
        lines.append(f"{candidate.name + mark:<16}{values}{candidate.threshold.chosen:>11.4f}")
    return "\n".join(
        [
            *lines,
            "* chosen: the lowest expected cost",
            "",
            f"Gates of {trained.chosen.name} on {trained.evaluation.test_rows:,} test rows",
            table(trained.gates),
            "",
            verdict(trained.gates),
            f"Run: {result.run_url}",
        ]
    )


def _as_json(result: "TrainingResult") -> dict[str, object]:
    trained = result.trained
    return {
        "experiment_id": result.experiment_id,
        "parent_run_id": result.parent_run_id,
        "run_id": result.run_id,
        "run_url": result.run_url,
        "chosen": trained.chosen.name,
        "candidates": {
            candidate.name: {
                "parameters": dict(candidate.parameters),
                "decision_threshold": candidate.threshold.chosen,
                "validation": dict(candidate.validation),
            }
            for candidate in trained.candidates
        },
        "evaluation": trained.evaluation.model_dump(mode="json"),
        "gates": [gate.model_dump(mode="json") for gate in trained.gates],
    }
