"""`mlops score`."""

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ml.errors import InputRefused, MlopsError

if TYPE_CHECKING:
    from ml.runtime import Runtime
    from ml.scoring.job import Job, Outcome
    from ml.scoring.spark import SparkOutcome

__all__ = ["score"]

_SHARE = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


def _share(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """`2/8` as (2, 8)."""
    if value is None:
        return None
    found = _SHARE.fullmatch(value)
    index, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= index <= count:
        raise click.BadParameter(f"{value!r} is not like 1/8, 2/8 up to 8/8.")
    return index, count


def _share_here() -> tuple[int, int] | None:
    """The share that a platform gave to this container."""
    from ml.platform import platforms

    return next((share for each in platforms().values() if (share := each.share_here(os.environ))), None)


@click.command(epilog="Example: mlops score --stack local-dev people.parquet scores/2026-11")
@click.argument("input", metavar="INPUT", required=False)
@click.argument("output", metavar="OUTPUT", required=False)
@click.option("--stack", help="Score with the release that this stack serves, from its store.")
@click.option("--release", help="Score with the release of this digest.  [default: the stack's]")
@click.option("--store", "store_uri", help="URI of the object store that holds the release.  [default: the stack's]")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["parquet", "csv", "delta"]),
    help="What INPUT is.  [default: by its names]",
)
@click.option(
    "--identifier",
    "identifiers",
    multiple=True,
    metavar="COLUMN",
    help="A column that tells rows apart, kept in the output; may be given several times.  [default: the problem's]",
)
@click.option(
    "--bad-rows",
    type=click.Choice(["refuse", "aside"]),
    default="refuse",
    show_default=True,
    help="Rows that don't fit the release: no output, or set aside in OUTPUT/_aside with what is wrong with each.",
)
@click.option(
    "--part", "share", metavar="I/N", callback=_share, help="Do the I-th of N shares: N such commands do it all."
)
@click.option(
    "--rows-per-part",
    default=1_000_000,
    show_default=True,
    type=click.IntRange(1),
    help="How much is done at a sitting: a kill loses at most so much.",
)
@click.option(
    "--shares",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="Where the stack's platform scores: how many machines share the work.",
)
@click.option(
    "--follow", "followed", metavar="JOB", help="Follow a scoring that was started on a stack's platform before."
)
@click.option("--here", is_flag=True, help="Score in this process although the stack's platform would.")
@click.option("--restart", is_flag=True, help="Drop what an unfinished scoring left beside OUTPUT.")
@click.option("--spark", is_flag=True, help="Run on Spark: the session of spark-submit, or one on this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def score(
    input: str | None,  # noqa: A002 # the argument's name
    output: str | None,
    stack: str | None,
    release: str | None,
    store_uri: str | None,
    identifiers: tuple[str, ...],
    share: tuple[int, int] | None,
    shares: int,
    here: bool,
    spark: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Score every row of INPUT into a folder of parquet files, OUTPUT.

    INPUT is a parquet or CSV file, a folder of them, partitioned or not, or a Delta table; INPUT and OUTPUT are paths
    or URIs like s3://bucket/people. OUTPUT is there as a whole or not at all. The same command goes on where a killed
    one stopped, and does nothing when all is done.

    OUTPUT has the identifiers, score, decision and release. Further columns of INPUT are passed over.

    Where the stack's platform has a job that scores, it is started, on several machines with --shares, and followed;
    it goes on when this is ended, and `mlops score --follow JOB` shows it again: its ARN, or its page on Databricks.
    """
    from ml.platform import Asked
    from ml.problem import load_problem
    from ml.runtime import Runtime
    from ml.scoring.job import Job, Share
    from ml.scoring.managed import follow, submit

    if options["followed"]:
        follow(options["followed"], as_json=as_json)
        return
    if input is None or output is None:
        raise click.UsageError("Say what to score and where to, INPUT and OUTPUT, or --follow a scoring.")
    if spark and (share or options["restart"]):
        raise click.UsageError("--part and --restart are not for Spark, which divides and repeats the work itself.")
    runtime = Runtime.load(stack) if stack else None
    store_uri, release = _release(runtime, release, store_uri)
    if runtime and runtime.scoring_job and not (here or spark or share):
        words = _words(input, output, store_uri, release, identifiers, options)
        follow(submit(runtime, Asked(input, output, release, shares, words, _given())), as_json=as_json)
        return
    if shares > 1:
        raise click.UsageError("--shares is for a stack whose platform scores. Here, run N commands with --part I/N.")
    job = Job(
        input=input,
        output=output,
        store_uri=store_uri,
        release=release,
        identifiers=identifiers or (load_problem().identifier,),
        share=Share(*(share or _share_here() or (1, 1))),
        format=options["format_"],
        bad_rows=options["bad_rows"],
        rows_per_part=options["rows_per_part"],
        restart=options["restart"],
    )
    outcome = _on_spark(job) if spark else _here(job)
    click.echo(json.dumps(outcome.as_json(), indent=2) if as_json else outcome.as_text())


def _words(
    source: str, output: str, store_uri: str, release: str, identifiers: tuple[str, ...], options: dict[str, Any]
) -> list[str]:
    """The same command, for a machine that knows no stack."""
    words = ["score", source, output, "--store", store_uri, "--release", release]
    words += ["--bad-rows", options["bad_rows"], "--rows-per-part", str(options["rows_per_part"])]
    words += [word for column in identifiers for word in ("--identifier", column)]
    return [*words, *(["--format", options["format_"]] if options["format_"] else [])]


def _given() -> list[str]:
    """The options that say how to score, of those that were given."""
    context = click.get_current_context()
    names = {"store_uri": "--store", "identifiers": "--identifier", "format_": "--format"}
    names |= {"bad_rows": "--bad-rows", "rows_per_part": "--rows-per-part"}
    return [names[name] for name in names if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]


def _release(runtime: "Runtime | None", release: str | None, store_uri: str | None) -> tuple[str, str]:
    """The URI of the store and the digest of the release."""
    if runtime is None:
        if release and store_uri:
            return store_uri, release
        raise InputRefused("Say which release is to score: --stack NAME, or --release DIGEST with --store URI.")
    stack, release = runtime.stack, release or runtime.release
    if release is None:
        raise MlopsError(
            f"The stack {stack} serves no release yet. Run `mlops release --stack {stack}`, then `pulumi up`."
        )
    return store_uri or runtime.store_uri, release


def _on_spark(job: "Job") -> "SparkOutcome":
    from ml.scoring.spark import score_with_spark, session

    return score_with_spark(session(), job)


def _here(job: "Job") -> "Outcome":
    from ml.lean import keep_pandas_out
    from ml.scoring.job import run

    keep_pandas_out()  # this process is ours alone
    if not sys.stderr.isatty():
        return run(job)
    with click.progressbar(length=1, label="Scoring", file=sys.stderr, show_pos=False) as bar:

        def progress(done: int, whole: int) -> None:
            bar.length = max(whole, 1)
            bar.update(done - bar.pos)

        return run(job, progress)
