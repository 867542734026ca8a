"""`mlops score` where the stack's platform scores: start or follow its job, and say what it has published."""

import importlib
import json
import sys
import time
from dataclasses import dataclass
from typing import NoReturn, Protocol, cast

import click

from ml.errors import InputRefused, MlopsError
from ml.following import Say
from ml.runtime import Runtime
from ml.scoring.output import Output, Published

__all__ = ["Asked", "follow", "submit"]

PLATFORMS = {"batch": "ml.scoring.batch", "databricks": "ml.scoring.databricks"}
INTERRUPTED = 130  # as a shell says of a program that Ctrl-C ended


@dataclass(frozen=True)
class Asked:
    """A scoring as a person asked for it; `others` are the options that they gave beside it."""

    source: str
    output: str
    release: str
    shares: int
    words: list[str]  # the same command, for a machine that knows no stack
    others: list[str]


class Platform(Protocol):
    """What starts and follows jobs that score."""

    def submit(self, runtime: Runtime, asked: Asked) -> str:
        """Start the stack's job: what names it. InputRefused, and nothing is started, for what the job can't do."""
        ...

    def output_of(self, job: str) -> str:
        """Where a job writes; InputRefused for one that doesn't score."""
        ...

    def watch(self, job: str, progress: Say, show: Say) -> None:
        """Say what happens until the job has ended; MlopsError when it failed."""
        ...

    def stop_command(self, job: str) -> str:
        """What a person types to end it."""
        ...


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
    job = _platform(str(runtime.scoring_job)).submit(runtime, asked)
    click.echo(f"Submitted {job}", err=True)
    return job


def follow(job: str, *, as_json: bool) -> None:
    """Say what happens to a scoring until it has ended, and print what it published; Ctrl-C leaves it running.

    InputRefused for another kind of job, MlopsError for one that failed or has published nothing.
    """
    started = time.monotonic()
    platform = _platform(job)
    output = platform.output_of(job)

    def progress(line: str) -> None:
        click.echo(f"{time.monotonic() - started:5.1f} s  {line}", err=True)

    try:
        platform.watch(job, progress, lambda line: click.echo(f"         | {line}", err=True))
    except KeyboardInterrupt:
        _left_running(job, platform.stop_command(job))
    published = Output(output).published()
    if published is None:
        raise MlopsError(f"The job {job} has ended well, but {output} isn't there. Run the same command again.")
    click.echo(json.dumps(_as_json(published, output, job), indent=2) if as_json else _as_text(published, output))


def _platform(job: str) -> Platform:
    """The module that starts and follows what has this ARN, or what this page of Databricks shows."""
    service = job.split(":")[2] if job.count(":") >= 5 else "databricks" if job.startswith("http") else ""
    if service not in PLATFORMS:
        raise InputRefused(
            f"{job!r} is neither the ARN of a job of AWS Batch nor the page of a job of Databricks, as `mlops score` "
            "prints it."
        )
    return cast(Platform, importlib.import_module(PLATFORMS[service]))


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
