"""What MLflow keeps of a training: an experiment per problem, a run per training, a nested run per candidate."""

import os
import socket
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

# Set before mlflow is imported: by default it reports its use to its makers, prints to standard output, and draws a
# bar for every few files.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_PARENT_RUN_ID, MLFLOW_SOURCE_NAME

from ml.data.read import Dataset as DataFile
from ml.errors import TrackingUnreachable
from ml.platform import platform_of
from ml.runtime import Runtime

__all__ = ["GIT_COMMIT_TAG", "Tracking", "TrackingUnreachable"]

GIT_COMMIT_TAG: Final = MLFLOW_GIT_COMMIT
CONNECT_TIMEOUT_S: Final = 5.0
DATASET_DIGEST_LENGTH: Final = 36  # MLflow refuses longer ones; the tags hold the whole digest
METRICS_PER_BATCH: Final = 1000


class Tracking:
    """A problem's experiment on the MLflow server of a stack; TrackingUnreachable, at once, where there is none."""

    def __init__(self, runtime: Runtime, problem: str) -> None:
        self.uri, platform = runtime.tracking_uri.rstrip("/"), platform_of(runtime)
        self._is_a_page = not platform.connect_tracking(self.uri)
        if self._is_a_page:
            _require_listening(self.uri)
        name = platform.experiment(problem)
        _leave_others_alone()
        self._client = MlflowClient(tracking_uri=self.uri)
        try:
            self.experiment_id = self._experiment(name)
        except MlflowException as error:
            raise TrackingUnreachable(
                f"The MLflow server {self.uri} gives no experiment {name!r}: {error.message}"
            ) from error

    @contextmanager
    def run(self, name: str, tags: Mapping[str, str], *, parent: str | None = None) -> Generator[str]:
        """A run by its id; it ends FINISHED, or FAILED or KILLED with what the body raised."""
        all_tags = {MLFLOW_SOURCE_NAME: "mlops train", **tags, **({MLFLOW_PARENT_RUN_ID: parent} if parent else {})}
        run_id: str = self._client.create_run(self.experiment_id, run_name=name, tags=all_tags).info.run_id
        try:
            yield run_id
        except BaseException as error:
            self._client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        self._client.set_terminated(run_id, "FINISHED")

    def log(
        self, run_id: str, *, parameters: Mapping[str, object] | None = None, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Parameters and metrics in one request."""
        now = int(time.time() * 1000)
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, now, 0) for name, value in (metrics or {}).items()],
            params=[Param(name, str(value)) for name, value in (parameters or {}).items()],
        )

    def log_steps(self, run_id: str, name: str, values: list[float]) -> None:
        """A metric's value after each step."""
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for step, value in enumerate(values)]
        for start in range(0, len(metrics), METRICS_PER_BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_BATCH])

    def log_datasets(self, run_id: str, files: Mapping[str, DataFile]) -> None:
        """The data files that the run read, by what they were for."""
        datasets = [
            DatasetInput(
                Dataset(file.name, file.digest.removeprefix("sha256:")[:DATASET_DIGEST_LENGTH], "fsspec", file.uri),
                [InputTag("mlflow.data.context", role)],
            )
            for role, file in files.items()
        ]
        self._client.log_inputs(run_id, datasets)

    def upload(self, run_id: str, folder: Path) -> None:
        """Keep the folder's files as the run's artifacts."""
        self._client.log_artifacts(run_id, str(folder))

    def tag(self, run_id: str, name: str, value: str) -> None:
        """Set one tag."""
        self._client.set_tag(run_id, name, value)

    def url(self, run_id: str) -> str:
        """Where a person sees the run; what a platform lets through has no page that a link could open."""
        if not self._is_a_page:
            return f"{run_id}, of {self.uri}"
        return f"{self.uri}/#/experiments/{self.experiment_id}/runs/{run_id}"

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._client.create_experiment(name)
            except MlflowException:
                found = self._client.get_experiment_by_name(name)  # another training was faster
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return found.experiment_id


def _leave_others_alone() -> None:
    """Keep SageMaker's plugin, where it is installed, from any other server: MLflow would warn at each request."""
    with suppress(ImportError):
        from sagemaker_mlflow import mlflow_sagemaker_request_header_provider as plugin

        provider: Any = plugin.MlflowSageMakerRequestHeaderProvider
        provider.in_context = lambda _: mlflow.get_tracking_uri().startswith("arn:")  # pyright: ignore[reportUnknownLambdaType]


def _require_listening(uri: str) -> None:
    """MLflow's client itself would try for minutes."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise TrackingUnreachable(
            f"No MLflow server answers at {uri} ({error.strerror or error}). Run `pulumi up` for this stack first."
        ) from error
