"""A training as a job that a platform has started: no person is there, and no key."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ml.bundle.job_result import JobReport
from ml.problem import Problem
from ml.runtime import Runtime

if TYPE_CHECKING:
    from ml.training.train import TrainingResult

__all__ = ["report_of", "train_as_job"]


def train_as_job(
    problem: Problem, runtime: Runtime, root: Path, reason: str, job: str, say: Callable[[str], None]
) -> "TrainingResult":
    """Train for the stack; `job` names the job to people, `root` is where a checkout would be.

    One that the monitor asked for learns from the labelled live rows too, and is compared with the pinned release.
    """
    say("Loading the training libraries")
    from ml.feedback.challenger import asked_for
    from ml.training.train import train  # seconds of imports: not before the stack is known

    live, comparing = asked_for(reason, problem, runtime, say)
    return train(problem, runtime, root, say, live=live, against_champion=comparing, job=job)


def report_of(result: "TrainingResult") -> JobReport:
    """What whoever started the job reads of it."""
    return JobReport(run_id=result.run_id, evaluation=result.trained.evaluation, gates=result.trained.gates)
