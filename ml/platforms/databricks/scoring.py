"""Scoring on Databricks: the stack's job `score`, which scores by the release that the stack serves."""

from ml.errors import InputRefused
from ml.platform import Asked
from ml.platforms.databricks import runs
from ml.runtime import Runtime

__all__ = ["output_of", "submit"]

DATA, OUTPUT = "data", "output"  # the job's parameters: infra/clouds/databricks/jobs.py


def submit(runtime: Runtime, asked: Asked) -> str:
    """The page of the run that was started; InputRefused for what the job isn't told."""
    given = list(asked.others)
    if asked.release != runtime.release:
        given.append("--release")
    if asked.shares > 1:
        given.append("--shares")
    if given:
        raise InputRefused(
            f"The job of {runtime.stack} scores on one machine by the release that the stack serves, and knows no "
            f"{', '.join(given)}. Leave that out, or add --here to score on this machine."
        )
    return runs.start(str(runtime.scoring_job), {DATA: asked.source, OUTPUT: asked.output}, lambda _: None)


def output_of(job: str) -> str:
    """Where a run writes that `submit` has started."""
    told = runs.parameters_of(job)
    if not (told.get(DATA) and told.get(OUTPUT)):
        raise InputRefused(f"The run {job} is no scoring: it was not told what to score and where to.")
    return told[OUTPUT]
