"""`mlops release`."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ml.problem import load_problem
from ml.release.stackfile import pin, pinned, stack_file
from ml.runtime import Runtime

if TYPE_CHECKING:
    from ml.release.release import ReleaseResult

__all__ = ["release"]


@click.command(epilog="Example: mlops release --stack local-dev")
@click.option("--stack", required=True, help="The stack to release to, like local-dev.")
@click.option("--run", "run_id", help="The candidate's MLflow run  [default: the newest finished training's]")
@click.option("--pin/--no-pin", "pins", default=True, help="Pin the digest in the stack's file  [default: --pin]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def release(stack: str, run_id: str | None, pins: bool, as_json: bool) -> None:
    """Gate the best candidate, bundle it, and pin its digest in the stack file.

    Exit code 3, with nothing written, when a gate fails. The same run gives the same release, however often. Where the
    platform has a registry of models of its own, the release is there before it is pinned.
    """
    file = stack_file(stack) if pins else None  # a wrong stack is said before the work, not after it
    runtime = Runtime.load(stack)
    started = time.monotonic()

    def progress(line: str) -> None:
        click.echo(f"{time.monotonic() - started:5.1f} s  {line}", err=True)

    progress("Loading the release libraries")
    from ml.release.release import release as run_release  # seconds of imports: not before the stack is known
    from ml.release.stage import Stage

    result = run_release(load_problem(), runtime, run_id, progress)
    if file is not None:
        _hand_over(runtime, file, result.digest, progress)
        if pinned(file) != result.digest:
            pin(file, result.digest)
        Stage.of(runtime, file).seal()
    click.echo(json.dumps(_as_json(result, file), indent=2) if as_json else _as_text(result, stack, file))


def _hand_over(runtime: Runtime, file: Path, digest: str, progress: Callable[[str], None]) -> None:
    from ml.release.registry import hand_over
    from ml.release.stage import Stage

    hand_over(Stage.of(runtime, file), digest, progress)


def _as_text(result: "ReleaseResult", stack: str, file: Path | None) -> str:
    from ml.bundle.gate_table import table

    manifest = result.manifest
    before = "" if result.is_new else ", released before"
    follow = f"Next      pulumi up --stack {stack}" if file else "Pinned    nowhere (--no-pin); pin it to serve it"
    return "\n".join(
        [
            table(manifest.gates),
            "",
            f"Release   {manifest.name} version {manifest.version} ({manifest.candidate}){before}",
            f"Digest    {result.digest}",
            *([f"Pinned    {file}"] if file else []),
            follow,
        ]
    )


def _as_json(result: "ReleaseResult", file: Path | None) -> dict[str, object]:
    return {
        "digest": result.digest,
        "is_new": result.is_new,
        "pinned_in": str(file) if file else None,
        "manifest": result.manifest.model_dump(mode="json"),
    }
