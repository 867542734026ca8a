"""Databricks, as the commands use it."""

from pathlib import Path
from typing import Final

from ml.bundle.job_result import JobResult
from ml.following import Say
from ml.platform import Asked, Observed, Platform, Registry
from ml.platforms.databricks import runs
from ml.problem import Problem
from ml.runtime import Runtime

__all__ = ["PLATFORM"]

EXPERIMENTS: Final = "/Shared/mlops"  # the folder of a workspace that keeps them
UNITY_CATALOG: Final = "databricks-uc"  # as MLflow's clients call the registry


class Databricks(Platform):
    """Jobs train and score, Model Serving answers, and Unity Catalog holds what is served."""

    answers_rows_alone = True

    def train(self, problem: Problem, runtime: Runtime, root: Path, say: Say) -> str:
        """A run of the stack's job, by its page."""
        from ml.platforms.databricks.training import start

        return start(problem, runtime, root, say)

    def follow_training(self, job: str, say: Say, show: Say, runtime: Runtime) -> JobResult:
        """By the run's states; what it printed is there at its end."""
        from ml.platforms.databricks.training import follow

        return follow(job, say, show, runtime)

    def score(self, runtime: Runtime, asked: Asked) -> str:
        """A run of the stack's job `score`, which scores by the release that the stack serves."""
        from ml.platforms.databricks.scoring import submit

        return submit(runtime, asked)

    def output_of(self, job: str) -> str:
        """As the run was told to."""
        from ml.platforms.databricks.scoring import output_of

        return output_of(job)

    def follow_scoring(self, job: str, say: Say, show: Say) -> None:
        """By the run's states."""
        goes_on = f" The scoring itself goes on: `mlops score --follow {job}`."
        runs.follow(job, "The scoring", goes_on, say, show)

    def stop_command(self, job: str) -> str:
        """What ends a run."""
        return runs.stop_command(job)

    def has_named(self, job: str) -> bool:
        """A run's page."""
        return runs.RUN.fullmatch(job) is not None

    def registry(self, runtime: Runtime) -> Registry | None:
        """The schema of Unity Catalog that the stack serves from."""
        if runtime.model_registry is None:
            return None
        from ml.platforms.databricks.unity_catalog import UnityCatalog  # with MLflow: seconds of imports

        return UnityCatalog(runtime.model_registry)

    def mlflow_model(self, runtime: Runtime, tracking_uri: str, problem: str) -> tuple[str, str]:
        """Unity Catalog is MLflow's registry too."""
        if runtime.model_registry is None:
            return tracking_uri, problem
        return UNITY_CATALOG, f"{runtime.model_registry}.{problem}"

    def connect_tracking(self, uri: str) -> bool:
        """MLflow's client finds the workspace and its token by itself."""
        return uri.partition(":")[0] == "databricks"

    def experiment(self, problem: str) -> str:
        """A path of the workspace."""
        return f"{EXPERIMENTS}/{problem}"

    def observe(self, url: str) -> Observed | None:
        """A release is a registered model of its own, named by its digest."""
        from ml.platforms.databricks.observed import observe

        return observe(url)


PLATFORM: Final[Platform] = Databricks()
