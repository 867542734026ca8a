"""A SageMaker training job, as its containers see it: configuration and data below /opt/ml, the model back into it.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html. The channels hold the problem's data
files, by name, in any channel. The candidate is left in `model`, as `mlops train` keeps it in MLflow, and what it is
worth in `output/data/training.json`. With the outputs of a stack (MLOPS_RUNTIME, or the hyperparameter `runtime`) the
training is logged there as well, and `mlops release` releases it; one that the monitor asked for learns from the
labelled live rows too, and is compared with the release that is pinned.
"""

import json
import shutil
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from ml.container.job import train_as_job
from ml.errors import InputRefused, MlopsError
from ml.problem import Problem, load_problem
from ml.runtime import Runtime
from ml.training.reason import PERSON, REASON

if TYPE_CHECKING:
    from ml.training.fit import Prepared, Trained

__all__ = ["Job", "folders", "is_job", "run_job"]

BASE_VARIABLE: Final = "SAGEMAKER_BASE_DIR"  # as in SageMaker's own toolkits
RUNTIME: Final = "runtime"
JOB_NAME: Final = "TRAINING_JOB_NAME"
RUNTIME_VARIABLE: Final = "MLOPS_RUNTIME"
OF_THE_PLATFORM: Final = ("sagemaker_", "_tuning_")

T = TypeVar("T")


class Channel(msgspec.Struct, rename="pascal"):
    """One entry of inputdataconfig.json."""

    training_input_mode: str = "File"


class Machines(msgspec.Struct):
    """What resourceconfig.json says of the machines of the job."""

    current_host: str = "algo-1"
    hosts: list[str] = msgspec.field(default_factory=lambda: ["algo-1"])


@dataclass(frozen=True)
class Job:
    """The folders of a job."""

    config: Path
    data: Path
    model: Path
    output: Path


def folders(environment: Mapping[str, str]) -> Job:
    """The folders of this container's job, below SAGEMAKER_BASE_DIR or /opt/ml."""
    base = Path(environment.get(BASE_VARIABLE) or "/opt/ml")
    return Job(base / "input" / "config", base / "input" / "data", base / "model", base / "output")


def is_job(job: Job) -> bool:
    """Whether SageMaker started this container to train."""
    return job.config.is_dir()


def run_job(job: Job, environment: Mapping[str, str]) -> int:
    """Train, and say why not in `output/failure`, which DescribeTrainingJob shows; the exit code."""
    try:
        _run(job, environment)
    except MlopsError as error:
        return _failed(job, str(error), error.exit_code)
    except Exception as error:
        traceback.print_exc()
        return _failed(job, f"{type(error).__name__}: {error}", 1)
    return 0


def _failed(job: Job, why: str, code: int) -> int:
    click.echo(f"train: {why}", err=True)
    job.output.mkdir(parents=True, exist_ok=True)
    (job.output / "failure").write_text(why, encoding="utf-8")
    return code


def _run(job: Job, environment: Mapping[str, str]) -> None:
    started = time.monotonic()

    def progress(line: str) -> None:
        click.echo(f"{time.monotonic() - started:5.1f} s  {line}", err=True)

    runtime = _runtime(job, environment)
    _require_one_machine(job)
    problem = load_problem()
    with TemporaryDirectory() as scratch:
        root = Path(scratch) / "checkout"
        _lay_out(job, problem, root)
        run_id = None
        if runtime is None:
            progress("Loading the training libraries")
            from ml.store import Store
            from ml.training.fit import fit, prepare

            data = prepare(problem, Store((Path(scratch) / "store").as_uri()), root, progress)
            trained = fit(problem, data, root, progress)
        else:
            reason, name = environment.get(REASON, PERSON), environment.get(JOB_NAME, "of no name")
            result = train_as_job(problem, runtime, root, reason, f"the job {name} of SageMaker", progress)
            data, trained, run_id = result.data, result.trained, result.run_id
        from ml.training.folder import write_candidate

        candidate = Path(scratch) / "candidate"
        write_candidate(candidate, problem, trained.chosen, trained.evaluation, train=data.train, test=data.test)
        _deliver(candidate, job.model)
    _report(job, trained, data, run_id)


def _runtime(job: Job, environment: Mapping[str, str]) -> Runtime | None:
    """The stack to log to, where one is given; InputRefused for a hyperparameter that nothing here reads."""
    given = _read(job.config / "hyperparameters.json", dict[str, Any]) or {}
    ours = {name: value for name, value in given.items() if not name.startswith(OF_THE_PLATFORM)}
    if unknown := sorted(ours.keys() - {RUNTIME}):
        raise InputRefused(
            f"There is no hyperparameter {', '.join(unknown)}: the search on the validation rows chooses them, and "
            f"everything else stands in the problem definition. The only one is `{RUNTIME}`, a stack's outputs as JSON."
        )
    if RUNTIME in ours:
        try:
            return Runtime.parse(json.loads(ours[RUNTIME]), f"the hyperparameter {RUNTIME!r}")
        except (TypeError, ValueError) as error:
            raise InputRefused(f"The hyperparameter {RUNTIME!r} is no JSON: {error}.") from error
    return Runtime.load() if environment.get(RUNTIME_VARIABLE) else None


def _require_one_machine(job: Job) -> None:
    machines = _read(job.config / "resourceconfig.json", Machines) or Machines()
    if len(machines.hosts) > 1:
        raise InputRefused(
            f"The job has {len(machines.hosts)} machines, but this training runs on one. Set InstanceCount to 1."
        )


def _lay_out(job: Job, problem: Problem, root: Path) -> None:
    """Lay the channels' files where a checkout has them; their digests are checked when they are read."""
    channels = _read(job.config / "inputdataconfig.json", dict[str, Channel]) or {}
    piped = sorted(name for name, channel in channels.items() if channel.training_input_mode == "Pipe")
    if piped:
        raise InputRefused(f"The channel {', '.join(piped)} is piped. Set its TrainingInputMode to File or FastFile.")
    for name in (problem.split.train, problem.split.test):
        path = Path(problem.datasets.files[name].path)
        found = sorted(file for file in job.data.rglob(path.name) if file.is_file())
        if not found:
            said = ", ".join(sorted(channels)) or "none"
            raise InputRefused(
                f"No channel holds {path.name}, the dataset {name!r} of the problem {problem.name!r}; the job's "
                f"channels are: {said}. Add a channel whose S3 prefix holds the file."
            )
        target = root / problem.datasets.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(found[0])


def _deliver(candidate: Path, model: Path) -> None:
    """Copy the finished candidate into the job's folder, which is the platform's: its mode and times stay."""
    model.mkdir(parents=True, exist_ok=True)
    for part in candidate.iterdir():
        if part.is_dir():
            shutil.copytree(part, model / part.name, dirs_exist_ok=True)
        else:
            shutil.copyfile(part, model / part.name)


def _report(job: Job, trained: "Trained", data: "Prepared", run_id: str | None) -> None:
    """Print the gates and metrics (`name=value;`, for the job's MetricDefinitions), and write them down."""
    from ml.bundle.gate_table import table

    metrics = {metric.name: metric.value for metric in trained.evaluation.metrics if metric.value is not None}
    report = {
        "chosen": trained.chosen.name,
        "run_id": run_id,
        "data": data.digests,
        "metrics": metrics,
        "evaluation": trained.evaluation.model_dump(mode="json"),
        "gates": [gate.model_dump(mode="json") for gate in trained.gates],
    }
    click.echo(table(trained.gates))
    click.echo("\n".join(f"{name}={value:.6g};" for name, value in metrics.items()))
    folder = job.output / "data"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "training.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    sys.stdout.flush()


def _read(file: Path, kind: type[T]) -> T | None:
    """A file of the job's configuration, None where there is none."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise InputRefused(f"{file} is not what SageMaker writes: {error}.") from error
