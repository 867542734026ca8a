"""`mlops score` where the stack's platform scores: start or follow its job, and say what it has published."""

import json
import sys
import time
from typing import NoReturn

import click

from ml.errors import InputRefused, MlopsError
from ml.platform import Asked, Platform, platform_of, platforms
from ml.runtime import Runtime
from ml.scoring.output import Output, Published

__all__ = ["follow", "submit"]

INTERRUPTED = 130  # as a shell says of a program that Ctrl-C ended


def submit(runtime: Runtime, asked: Asked) -> str:
    """Start the scoring on the stack's platform: what names the job.

    InputRefused for paths of this machine, which no other can read.
    """
    for what, uri in (("INPUT", asked.source), ("OUTPUT", asked.output)):
        if "://" not in uri or uri.startswith("file:"):
            raise InputRefused(
                f"{what} is {uri}, on this machine, and the jobs of {runtime.stack} run on others. Name a URI below "
                f"{runtime.store_uri}/scoring/, or add --here to score on this machine."
            )
    job = platform_of(runtime).score(runtime, asked)
    click.echo(f"Submitted {job}", err=True)
    return job


def follow(job: str, *, as_json: bool) -> None:
    """Say what happens to a scoring until it has ended, and print what it published; Ctrl-C leaves it running.

    InputRefused for another kind of job, MlopsError for one that failed or has published nothing.
    """
    started = time.monotonic()
    platform = _platform_that_named(job)
    output = platform.output_of(job)

    def progress(line: str) -> None:
        click.echo(f"{time.monotonic() - started:5.1f} s  {line}", err=True)

    try:
        platform.follow_scoring(job, progress, lambda line: click.echo(f"         | {line}", err=True))
    except KeyboardInterrupt:
        _left_running(job, platform.stop_command(job))
    published = Output(output).published()
    if published is None:
        raise MlopsError(f"The job {job} has ended well, but {output} isn't there. Run the same command again.")
    click.echo(json.dumps(_as_json(published, output, job), indent=2) if as_json else _as_text(published, output))


def _platform_that_named(job: str) -> Platform:
    if found := next((platform for platform in platforms().values() if platform.has_named(job)), None):
        return found
    raise InputRefused(f"{job!r} names no scoring of any platform, as `mlops score` prints it.")


def _left_running(job: str, stop_command: str) -> NoReturn:
    click.echo(
        "\nThe scoring goes on without this command.\n"
        f"Follow it  mlops score --follow {job}\n"
        f"Stop it    {stop_command}",
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
