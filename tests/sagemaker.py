"""SageMaker's part in a training, on moto's server, which records pipelines and jobs and runs none.

What a started execution names is run here as SageMaker would do it: the channels are laid down below /opt/ml (a folder
of this machine), the container's own command is run, its output becomes the job's log, and what it leaves goes to S3.
The machine, the image and the network of a real job are not there, and neither is its role.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from moto.core.responses import ActionResult
from moto.sagemaker.models import FakePipelineExecution, FakeTrainingJob
from moto.sagemaker.responses import SageMakerResponse

__all__ = ["LOG_GROUP", "SageMaker", "sagemaker"]

LOG_GROUP = "/aws/sagemaker/TrainingJobs"


class SageMaker:
    """Runs what is started in moto's server of this process, one execution after the other."""

    def __init__(self, folder: Path, region: str, environment: Mapping[str, str]) -> None:
        self.folder, self.region, self.environment = folder, region, environment
        self.steps: dict[str, list[dict[str, Any]]] = {}
        self.executions: list[FakePipelineExecution] = []
        self._threads: list[threading.Thread] = []

    def play(self, execution: FakePipelineExecution) -> None:
        """In the background."""
        self.executions.append(execution)
        thread = threading.Thread(target=self._run, args=(execution,))
        self._threads.append(thread)
        thread.start()

    def wait(self) -> None:
        """Until everything has ended."""
        for thread in self._threads:
            thread.join()

    def _run(self, execution: FakePipelineExecution) -> None:
        ended = "Failed"
        try:
            ended = self._step(execution)
        finally:
            execution.pipeline_execution_status = ended

    def _step(self, execution: FakePipelineExecution) -> str:
        (step,) = json.loads(execution.pipeline_definition_for_execution)["Steps"]
        name = f"pipelines-{execution.arn.rpartition('/')[2]}-{step['Name']}-1"
        given = {each["Name"]: each["Value"] for each in execution.pipeline_parameters}
        request = _resolved(step["Arguments"], given)
        arn = self._client("sagemaker").create_training_job(TrainingJobName=name, **request)["TrainingJobArn"]
        self.steps[execution.arn] = [{"StepName": step["Name"], "Metadata": {"TrainingJob": {"Arn": arn}}}]
        job: Any = self._job(arn)
        base = self.folder / name
        self._lay_down(base, request)
        job.secondary_status_transitions.append(
            {"Status": "Training", "StatusMessage": "Training image download completed"}
        )
        code = self._container(base, name, request.get("Environment", {}))
        if code == 0:
            self._upload(base / "model", name, request, "model.tar.gz")
            self._upload(base / "output" / "data", name, request, "output.tar.gz")
            job.training_job_status = "Completed"
            return "Succeeded"
        job.training_job_status = "Failed"
        job.failure_reason = f"AlgorithmError: {(base / 'output' / 'failure').read_text()}, exit code: {code}"
        return "Failed"

    def _lay_down(self, base: Path, request: Mapping[str, Any]) -> None:
        channels = {channel["ChannelName"]: {"TrainingInputMode": "File"} for channel in request["InputDataConfig"]}
        machines = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
        files = {"inputdataconfig": channels, "resourceconfig": machines, "hyperparameters": {}}
        for name, content in files.items():
            _write(base / "input" / "config" / f"{name}.json", json.dumps(content).encode())
        for channel in request["InputDataConfig"]:
            at = urlsplit(channel["DataSource"]["S3DataSource"]["S3Uri"])
            prefix, s3 = at.path.lstrip("/"), self._client("s3")
            for found in s3.list_objects_v2(Bucket=at.netloc, Prefix=prefix).get("Contents", []):
                content = s3.get_object(Bucket=at.netloc, Key=found["Key"])["Body"].read()
                _write(base / "input/data" / channel["ChannelName"] / found["Key"].removeprefix(prefix), content)
        for name in ("model", "output"):
            (base / name).mkdir(parents=True, exist_ok=True)

    def _container(self, base: Path, job: str, environment: Mapping[str, str]) -> int:
        logs, stream = self._client("logs"), f"{job}/algo-1-1700000000"
        if LOG_GROUP not in [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]:
            logs.create_log_group(logGroupName=LOG_GROUP)
        logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
        variables = {
            **os.environ,
            **self.environment,
            **environment,
            "SAGEMAKER_BASE_DIR": str(base),
            "TRAINING_JOB_NAME": job,
        }
        command = [sys.executable, "-m", "ml.container", "train"]
        with subprocess.Popen(
            command, env=variables, cwd=base, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as running:
            assert running.stdout
            for line in running.stdout:
                event = {"timestamp": int(time.time() * 1000), "message": line.rstrip("\n") or " "}
                logs.put_log_events(logGroupName=LOG_GROUP, logStreamName=stream, logEvents=[event])
            return running.wait()

    def _upload(self, folder: Path, job: str, request: Mapping[str, Any], name: str) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for path in sorted(folder.iterdir()):
                tar.add(path, path.name)
        at = urlsplit(request["OutputDataConfig"]["S3OutputPath"])
        key = f"{at.path.strip('/')}/{job}/output/{name}"
        self._client("s3").put_object(Bucket=at.netloc, Key=key, Body=archive.getvalue())

    def _job(self, arn: str) -> FakeTrainingJob:
        from moto.sagemaker.models import sagemaker_backends

        account = arn.split(":")[4]
        return sagemaker_backends[account][self.region].training_jobs[arn.rpartition("/")[2]]

    def _client(self, service: str) -> Any:
        return boto3.client(service, region_name=self.region)  # pyright: ignore[reportArgumentType]


def _resolved(value: Any, given: Mapping[str, str]) -> Any:
    """The arguments of a step, with the execution's parameters put in."""
    if isinstance(value, dict):
        if set(value) == {"Get"}:
            return given[value["Get"].removeprefix("Parameters.")]
        return {key: _resolved(each, given) for key, each in value.items()}
    return [_resolved(each, given) for each in value] if isinstance(value, list) else value


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


@contextmanager
def sagemaker(
    monkeypatch: pytest.MonkeyPatch, folder: Path, region: str, environment: Mapping[str, str]
) -> Generator[SageMaker]:
    """Have the executions run that are started in moto's server, which must be one of this process."""
    running = SageMaker(folder, region, environment)
    execution_made, job_made = FakePipelineExecution.__init__, FakeTrainingJob.__init__

    def started(self: FakePipelineExecution, *args: Any, **kwargs: Any) -> None:
        execution_made(self, *args, **kwargs)
        self.pipeline_execution_status = "Executing"
        running.play(self)

    def in_progress(self: FakeTrainingJob, *args: Any, **kwargs: Any) -> None:
        job_made(self, *args, **kwargs)
        self.training_job_status = "InProgress"

    def list_pipeline_execution_steps(self: Any) -> ActionResult:  # moto has no such operation
        return ActionResult({"PipelineExecutionSteps": running.steps.get(self._get_param("PipelineExecutionArn"), [])})

    with monkeypatch.context() as patch:
        patch.setattr(FakePipelineExecution, "__init__", started)
        patch.setattr(FakeTrainingJob, "__init__", in_progress)
        patch.setattr(SageMakerResponse, "list_pipeline_execution_steps", list_pipeline_execution_steps, raising=False)
        try:
            yield running
        finally:
            running.wait()
