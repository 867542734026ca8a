"""`make tour`: a model's whole life on three local environments, ending in a one-page report."""

import shutil
import sys
from pathlib import Path

import click

from infra.engine.install import EngineMissing, install
from ml.edge import sentences
from pipelines._sandbox import Sandbox
from pipelines._steps import PROJECT, say
from pipelines.tour import loop, release
from pipelines.tour.play import DEV, TEST, Play
from pipelines.tour.record import Record

FOLDER = PROJECT / ".mlops" / "tour"
REPORT = "tour.html"


def run(play: Play) -> None:
    """Every stop, in order; the first that fails ends the tour."""
    release.provision(play)
    release.train(play)
    release.promote(play, DEV, TEST)
    release.promote_to_prod(play)
    loop.serve_a_year(play)
    loop.see_drift(play)
    loop.join_labels(play)
    loop.review(play)
    loop.retrain(play)
    release.promote(play, DEV, TEST)
    release.try_beside_the_champion(play)
    release.return_by_itself(play)
    loop.erase(play)
    release.document_and_verify(play)


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=FOLDER,
    help="Where it plays; emptied first  [default: .mlops/tour]",
)
def tour(folder: Path) -> None:
    """Play a model's whole life on three local environments of its own; your stacks are not touched.

    Example: python -m pipelines.tour
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        sandbox = Sandbox(folder, install(say))
    except EngineMissing as error:
        raise click.ClickException(str(error)) from error
    record, report = Record(), sandbox.folder / REPORT
    try:
        run(Play(sandbox, record))
    except RuntimeError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    finally:
        sandbox.end()
        record.write(report)
        click.echo(f"The report: {report.as_uri()}")


if __name__ == "__main__":
    with sentences("make tour"):
        tour(prog_name="python -m pipelines.tour")
