"""One training on a stack: read the data, fit and choose, evaluate once, and log everything."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ml.data.read import Dataset
from ml.problem import Problem
from ml.runtime import Runtime
from ml.store import Store
from ml.training.fit import Comparing, Prepared, Trained, fit, prepare
from ml.training.provenance import code_state, problem_digest
from ml.training.record import record, run_tags
from ml.training.tracking import Tracking
from ml.trust.voucher import Vouching

__all__ = ["TrainingResult", "train"]


@dataclass(frozen=True)
class TrainingResult:
    """A logged training; `run_id` is the chosen candidate's run, inside `parent_run_id`."""

    trained: Trained
    data: Prepared
    experiment_id: str
    parent_run_id: str
    run_id: str
    run_url: str


def train(
    problem: Problem,
    runtime: Runtime,
    root: Path,
    progress: Callable[[str], None],
    *,
    live: Dataset | None = None,
    against_champion: Comparing | None = None,
    job: str | None = None,
) -> TrainingResult:
    """Train for the stack `runtime`; `root` is the checkout, with the data files and the code's commit.

    A retraining gives `live`, labelled rows that join the training set, and `against_champion`, see `fit`. A job of a
    platform, which has no key, gives its name as `job`; else whoever runs this signs what is made. DataRefused for bad
    data, InputRefused for a person without a key that counts, TrackingUnreachable without an MLflow server; a failed
    training's run ends FAILED.
    """
    vouching = Vouching.begin(runtime, problem.name, job)
    tracking = Tracking(runtime, problem.name)
    data = prepare(problem, Store(runtime.store_uri), root, progress, live)
    tags = run_tags(*code_state(root), problem_digest(problem), data.digests)
    with tracking.run("training", {**tags, "mlops.stack": runtime.stack}) as parent:
        trained = fit(problem, data, root, progress, against_champion)
        progress(f"Logging to {tracking.uri}")
        run_id = record(problem, data, trained, tracking, parent, vouching)
    return TrainingResult(trained, data, tracking.experiment_id, parent, run_id, tracking.url(run_id))
