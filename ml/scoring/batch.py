"""`mlops score` where the stack's platform scores: an array job of AWS Batch, one child a share."""

import json
import sys
import time
from typing import NoReturn

import click

from ml.aws import batch
from ml.errors import InputRefused, MlopsError
from ml.runtime import Runtime
from ml.scoring.output import Output, Published

__all__ = ["follow", "submit"]

INTERRUPTED = 130  # as a shell says of a program that Ctrl-C ended


def follow(arn: str, *, as_json: bool) -> None:
    """Say what happens to a scoring until it has ended, and print what it published; Ctrl-C leaves it running.

    InputRefused for another kind of job, MlopsError for one that failed or has published nothing.
    """
    started = time.monotonic()
    output = _output_of(arn)

    def progress(line: str) -> None:
        click.echo(f"{time.monotonic() - started:5.1f} s  {line}", err=True)

    try:
        batch.follow(arn, progress, lambda line: click.echo(f"         | {line}", err=True))
    except KeyboardInterrupt:
        _left_running(arn)
    published = Output(output).published()
    if published is None:
        raise MlopsError(f"The job {arn} has ended well, but {output} isn't there. Run the same command again.")
    click.echo(json.dumps(_as_json(published, output, arn), indent=2) if as_json else _as_text(published, output))


def _output_of(arn: str) -> str:
    """Where a job writes that `submit` has submitted."""
    command = batch.command_of(arn)
    if command[:1] != ["score"] or len(command) < 3:
        raise InputRefused(f"The job {arn} is no scoring: it runs {' '.join(command) or 'nothing'}.")
    return command[2]


def submit(runtime: Runtime, source: str, output: str, words: list[str], shares: int) -> str:
    """Submit the command `words` in `shares` shares: the job's ARN.

    InputRefused for paths of this machine, which no other can read.
    """
    for what, uri in (("INPUT", source), ("OUTPUT", output)):
        if "://" not in uri or uri.startswith("file:"):
            raise InputRefused(
                f"{what} is {uri}, on this machine, and the jobs of {runtime.stack} run on others. Name a URI below "
                f"{runtime.store_uri}/scoring/, or add --here to score on this machine."
            )
    arn = batch.submit(
        str(runtime.job_queue),
        str(runtime.scoring_job),
        f"{runtime.stack}-scoring",
        command=words,
        size=shares,
        tags={"stack": runtime.stack},
    )
    click.echo(f"Submitted {arn}", err=True)
    return arn


def _left_running(arn: str) -> NoReturn:
    click.echo(
        "\nThe scoring goes on without this command.\n"
        f"Follow it  mlops score --follow {arn}\n"
        f"Stop it    {batch.stop_command(arn)}",
        err=True,
    )
    sys.exit(INTERRUPTED)


def _as_json(published: Published, output: str, job: str) -> dict[str, object]:
    found: dict[str, object] = {
        name: getattr(published, name) for name in ("release", "model", "version", "rows", "aside", "parts")
    }
    return found | {"output": output, "job": job, "is_complete": True}


def _as_text(published: Published, output: str) -> str:
    return "\n".join(
        [
            f"release   {published.release} ({published.model}, version {published.version})",
            f"rows      {published.scored:,} scored, {published.aside:,} set aside",
            f"parts     {published.parts:,}",
            f"output    {output}",
        ]
    )
