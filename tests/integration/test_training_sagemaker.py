"""`mlops train` on a stack whose platform trains: the data come into the store, the stack's pipeline runs and is
followed, and its candidate comes back and is released.

SageMaker and CloudWatch are moto's server, with tests/sagemaker.py in the part that runs containers. MLflow is a real
server behind a door that checks the signatures which SageMaker's would check.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import mlflow
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from click.testing import CliRunner
from mlflow.exceptions import MlflowException
from mlflow.tracking.request_header.registry import resolve_request_headers

from ml.data.findings import DataRefused
from ml.errors import InputRefused, MlopsError, ReleaseRefused
from ml.platforms.aws.logs import JobLog
from ml.platforms.sagemaker.execution import follow
from ml.platforms.sagemaker.pipeline import start
from ml.problem import load_problem
from ml.release.release import release
from ml.runtime import Runtime
from ml.store import Store
from ml.training.command import train
from ml.training.managed import train_on_the_platform
from ml.training.tracking import Tracking
from ml.trust.keys import new_key
from ml.trust.voucher import PREFIX as VOUCHERS
from ml.trust.voucher import Voucher
from tests.aws import aws
from tests.integration.conftest import mlflow_server
from tests.sagemaker import LOG_GROUP, SageMaker, sagemaker
from tests.signed import Door, signed_door
from tests.vouched import Marks

ROOT = Path(__file__).parents[2]
REGION, PIPELINE, STORE = "eu-west-1", "mlops-training", "s3://store-of-dev"
TRACKING = f"arn:aws:sagemaker:{REGION}:123456789012:mlflow-tracking-server/tracking"
FEW_MS = 0.02


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with aws(monkeypatch, REGION):
        boto3.client("s3").create_bucket(
            Bucket=STORE.removeprefix("s3://"), CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        yield


@pytest.fixture
def runtime(account: None) -> Runtime:
    """As the outputs of the stack would be, with the pipeline that it would have; told to its jobs in the store."""
    told = f"{STORE}/runtime/jobs.json"
    channel = {"S3DataType": "S3Prefix", "S3Uri": f"{STORE}/datasets/"}
    job = {
        "RoleArn": "arn:aws:iam::123456789012:role/mlops-training",
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "InputDataConfig": [{"ChannelName": "data", "DataSource": {"S3DataSource": channel}}],
        "OutputDataConfig": {"S3OutputPath": f"{STORE}/training/"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "Environment": {"MLOPS_RUNTIME": told, "MLOPS_TRAINING_REASON": {"Get": "Parameters.Reason"}},
    }
    arn = boto3.client("sagemaker").create_pipeline(
        PipelineName=PIPELINE,
        PipelineDefinition=json.dumps({"Steps": [{"Name": "Train", "Type": "Training", "Arguments": job}]}),
        ClientRequestToken="1" * 32,
        RoleArn="arn:aws:iam::123456789012:role/orchestrating",
    )["PipelineArn"]
    runtime = Runtime(
        stack="aws-sagemaker-dev",
        cloud="aws",
        platform="sagemaker",
        environment="dev",
        store_uri=STORE,
        tracking_uri=TRACKING,
        monitor_url="",
        training_job=arn,
    )
    Store(STORE).write("runtime/jobs.json", runtime.model_dump_json().encode())
    return runtime


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, account: None) -> Iterator[SageMaker]:
    with sagemaker(monkeypatch, tmp_path / "opt-ml", REGION, {}) as running:
        yield running


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, account: None) -> Iterator[Door]:
    """A tracking server that answers to the ARN, with its artifacts in the store, as the managed one has them."""
    with (
        mlflow_server(tmp_path / "mlflow", {"ROOT": f"{STORE}/tracking"}) as url,
        signed_door(url, "nobody", "nothing", REGION) as door,
    ):
        monkeypatch.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", door.url)
        yield door


def executions() -> list[Any]:
    return boto3.client("sagemaker").list_pipeline_executions(PipelineName=PIPELINE)["PipelineExecutionSummaries"]


def test_a_candidate_comes_back_and_is_released_as_it_is(
    runtime: Runtime, running: SageMaker, door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_RUNTIME", runtime.model_dump_json())
    done = CliRunner().invoke(train, ["--root", str(ROOT), "--json"], catch_exceptions=False)
    result = json.loads(done.stdout)
    assert [execution["PipelineExecutionArn"] for execution in executions()] == [result["execution"]]
    assert running.executions[0].pipeline_parameters == [{"Name": "Reason", "Value": "person"}]
    for said in ("The pipeline is Executing", "The pipeline is Succeeded", "Training: Training image download"):
        assert said in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("         | ")]
    for said in ("Loading the training libraries", f"Logging to {TRACKING}", "roc_auc="):
        assert sum(said in line for line in lines) == 1  # of the job's own log, each line once
    metric = {each["name"]: each for each in result["evaluation"]["metrics"]}["roc_auc"]
    assert metric["value"] > metric["baseline"] > 0.7
    assert Store(STORE).exists(result["model_uri"].removeprefix(f"{STORE}/"))

    monkeypatch.setenv("MLOPS_TRUSTED_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))  # another test may have made a key of that name
    new_key("author@example.org", share_in=tmp_path / "keys")
    (voucher,) = Store(STORE).list(VOUCHERS)
    vouched = Voucher.model_validate_json(Store(STORE).read(voucher))
    assert (vouched.run_id, vouched.is_signed) == (result["run_id"], False)
    assert vouched.made_by == f"the job {result['job']} of SageMaker"
    tampered = next(key for key in Store(STORE).list("tracking") if key.endswith("/candidate/model/model.pkl"))
    trained = Store(STORE).read(tampered)
    Store(STORE).write(tampered, Marks(tmp_path / "marker").pickled)  # as the tracking server's role may
    with pytest.raises(ReleaseRefused, match=r"candidate/model/model\.pkl was altered"):
        release(load_problem(), runtime, None, lambda _: None)
    assert not (tmp_path / "marker").exists()
    Store(STORE).write(tampered, trained)
    with pytest.raises(ReleaseRefused, match="nobody has signed it, and no job of aws-sagemaker-dev could"):
        release(load_problem(), runtime.model_copy(update={"training_job": None}), None, lambda _: None)
    released = release(load_problem(), runtime, result["run_id"], lambda _: None)
    assert {each.name: each for each in released.manifest.metrics}["roc_auc"].value == metric["value"]
    assert released.manifest.tracking_run == result["run_id"]
    assert all(gate.result != "failed" for gate in released.manifest.gates)
    assert (door.asked_for, door.refused) == ({TRACKING}, 0)
    with pytest.raises(MlflowException, match="not signed"):  # the double is able to refuse
        mlflow.MlflowClient(tracking_uri=door.url).search_experiments()


def test_another_server_s_requests_carry_no_arn_and_no_warning(
    runtime: Runtime, mlflow_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    mlflow.set_tracking_uri(mlflow_uri)
    Tracking(runtime.model_copy(update={"tracking_uri": mlflow_uri}), "another")
    assert not [name for name in resolve_request_headers() if "arn" in name]
    assert not caplog.records


def test_a_failed_job_says_why_and_shows_its_last_lines(
    runtime: Runtime, running: SageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.platforms.sagemaker.pipeline._upload", lambda *_: None)  # so that the job finds no data
    execution = start(load_problem(), runtime, ROOT, lambda _: None)
    said: list[str] = []
    with pytest.raises(MlopsError, match=r"ended as Failed: AlgorithmError: No channel holds 2015.parquet") as failed:
        follow(execution, said.append, said.append, poll_s=FEW_MS)
    assert "exit code: 2" in str(failed.value)
    assert "\n  train: No channel holds 2015.parquet" in str(failed.value)
    assert failed.value.exit_code == 1


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with sagemaker(monkeypatch, tmp_path, REGION, {}) as held:
        monkeypatch.setattr(held, "play", held.executions.append)  # a job that takes its time
        execution = start(load_problem(), runtime, ROOT, lambda _: None)
        command = [sys.executable, "-m", "ml", "train", "--follow", execution]
        with subprocess.Popen(
            command, env=_environment(runtime), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as followed:
            assert followed.stderr
            assert "The pipeline is Executing" in followed.stderr.readline()
            followed.send_signal(signal.SIGINT)
            said = followed.stderr.read()
        assert followed.returncode == 130
        assert f"mlops train --stack aws-sagemaker-dev --follow {execution}" in said
        assert f"aws sagemaker stop-pipeline-execution --pipeline-execution-arn {execution}" in said
        assert "Traceback" not in said
        assert [each["PipelineExecutionStatus"] for each in executions()] == ["Executing"]


def _environment(runtime: Runtime) -> dict[str, str]:
    return os.environ | {"MLOPS_RUNTIME": runtime.model_dump_json()}


@pytest.mark.parametrize("given", ["x", "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/mlops-training"])
def test_only_an_execution_can_be_followed(runtime: Runtime, given: str) -> None:
    with pytest.raises(InputRefused, match="is no training of aws-sagemaker-dev"):
        train_on_the_platform(runtime, ROOT, lambda _: None, given)


def test_data_that_are_there_are_not_brought_again(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, said = load_problem(), list[str]()
    start(problem, runtime, ROOT, said.append)
    assert len([line for line in said if line.startswith("Bringing")]) == 2
    for name in (problem.split.train, problem.split.test):
        file = problem.datasets.files[name].path
        assert Store(STORE).read(f"datasets/{file}") == (ROOT / problem.datasets.root / file).read_bytes()
    said.clear()
    start(problem, runtime, ROOT, said.append)
    assert not [line for line in said if line.startswith("Bringing")]


def test_other_data_than_the_problems_start_nothing(runtime: Runtime, tmp_path: Path) -> None:
    problem = load_problem()
    folder = tmp_path / problem.datasets.root
    folder.mkdir(parents=True)
    for entry in problem.datasets.files.values():
        (folder / entry.path).write_bytes(b"something else")
    with pytest.raises(DataRefused):
        start(problem, runtime, tmp_path, lambda _: None)
    assert executions() == []


def test_a_pipeline_that_can_not_be_started_is_said_in_a_sentence(runtime: Runtime) -> None:
    boto3.client("sagemaker").delete_pipeline(PipelineName=PIPELINE, ClientRequestToken="1" * 32)
    with pytest.raises(MlopsError, match=rf"SageMaker starts no run of {PIPELINE}: .*`pulumi up` of aws-sagemaker-dev"):
        start(load_problem(), runtime, ROOT, lambda _: None)


def test_what_is_said_when_aws_refuses_names_the_stack(runtime: Runtime) -> None:
    pipeline = str(runtime.training_job)
    with pytest.raises(MlopsError, match=r"`mlops train --stack aws-sagemaker-dev --follow arn:.*/execution/gone`"):
        follow(f"{pipeline}/execution/gone", lambda _: None, lambda _: None, runtime, poll_s=FEW_MS)


class Log:
    """A job's streams in CloudWatch, written by hand."""

    def __init__(self) -> None:
        self.client: Any = boto3.client("logs", region_name=REGION)
        self.at = int(time.time() * 1000) - 60_000  # CloudWatch refuses what is older than two weeks

    def put(self, stream: str, *lines: str) -> None:
        for create in (
            lambda: self.client.create_log_group(logGroupName=LOG_GROUP),
            lambda: self.client.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream),
        ):
            with contextlib.suppress(self.client.exceptions.ResourceAlreadyExistsException):
                create()
        for line in lines:
            self.at += 1
            event = {"timestamp": self.at, "message": line}
            self.client.put_log_events(logGroupName=LOG_GROUP, logStreamName=stream, logEvents=[event])


def test_each_line_is_read_once_from_every_machine_and_from_no_other_job(account: None) -> None:
    log = Log()
    job = JobLog(log.client, LOG_GROUP, "train-1/")
    assert list(job.new_lines()) == []  # there is no group yet
    log.put("train-10/algo-1-1", "another job's")
    log.put("train-1/algo-1-1")
    assert list(job.new_lines()) == []
    log.put("train-1/algo-1-1", "one", "two")
    assert list(job.new_lines()) == ["one", "two"]
    assert list(job.new_lines()) == []
    log.put("train-1/algo-1-1", "three\x1b[2Jthree", " 10%\r 99%")
    assert list(job.new_lines()) == ["three�[2Jthree", " 99%"]
    log.put("train-1/algo-2-1", "four")
    log.put("train-1/algo-1-1", "five")
    assert list(job.new_lines()) == ["algo-1-1  five", "algo-2-1  four"]
    assert list(job.last)[-2:] == ["algo-1-1  five", "algo-2-1  four"]


def test_a_read_that_is_cut_short_loses_and_repeats_nothing(account: None) -> None:
    log, pages = Log(), 0
    log.put("train-1/algo-1-1", *(f"line {number}" for number in range(7)))

    def small(params: dict[str, Any], **_: Any) -> None:
        params["limit"] = 2

    def throttled(request: Any, **_: Any) -> AWSResponse | None:
        nonlocal pages
        pages += 1
        if pages != 3:
            return None
        body = b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'
        answer = AWSResponse(request.url, 400, {"content-type": "application/x-amz-json-1.1"}, raw=None)
        answer._content = body  # pyright: ignore[reportPrivateUsage]
        return answer

    client: Any = boto3.client("logs", region_name=REGION, config=Config(retries={"total_max_attempts": 1}))
    client.meta.events.register("provide-client-params.logs.GetLogEvents", lambda params, **_: small(params))
    client.meta.events.register("before-send.logs.GetLogEvents", throttled)
    job, read = JobLog(client, LOG_GROUP, "train-1/"), list[str]()
    with pytest.raises(client.exceptions.ClientError, match="Rate exceeded"):
        read.extend(job.new_lines())
    assert len(read) == 4
    read.extend(job.new_lines())
    assert read == [f"line {number}" for number in range(7)]
    assert pages > 3
