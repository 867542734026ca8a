"""AWS Batch as moto's server has it: what is submitted, how the children of an array share the work, what a monitor
submits. moto runs no container and says at once that a job has succeeded, so the children are processes of this test.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pytest
import s3fs
from click.testing import CliRunner
from moto.core.config import default_user_config

from ml.aws.batch import follow, is_under_way, share_of, submit
from ml.container import aws_watch
from ml.errors import InputRefused, MlopsError
from ml.feedback.requests import REQUESTS
from ml.problem import Problem
from ml.release.bundle import key_of
from ml.release.keys import personal_folder
from ml.runtime import Runtime
from ml.scoring.command import score
from ml.store import Store
from tests.aws import aws
from tests.conftest import rows_of
from tests.monitor_data import NOW, deliver, log_predictions, resampled, watchful

REGION, BUCKET = "eu-west-1", "lake"
SHARES, PART_ROWS, ROWS = 3, 400, 6000
TIMEOUT_S = 240


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch, store: Store, published: str) -> Iterator[Runtime]:
    """A stack without a server: its queue and jobs in moto, its store in moto's S3, with the release in it."""
    monkeypatch.setitem(default_user_config, "batch", {"use_docker": False})
    monkeypatch.setenv("MLOPS_TRUSTED_KEYS", str(personal_folder()))  # a shared store trusts no user's own keys
    with aws(monkeypatch, REGION):
        s3 = s3fs.S3FileSystem(skip_instance_cache=True)
        s3.mkdir(BUCKET, region_name=REGION)
        s3.put(store.path(key_of(published)), f"{BUCKET}/{key_of(published)}", recursive=True)
        batch, ec2 = boto3.client("batch"), boto3.client("ec2")
        role = boto3.client("iam").create_role(RoleName="batch", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        network = {
            "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
            "securityGroupIds": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
        }
        batch.create_compute_environment(
            computeEnvironmentName="capacity",
            type="MANAGED",
            computeResources={"type": "FARGATE", "maxvCpus": 4, **network},
            serviceRole=role,
        )
        order = [{"order": 1, "computeEnvironment": "capacity"}]
        queue = batch.create_job_queue(jobQueueName="jobs", state="ENABLED", priority=1, computeEnvironmentOrder=order)[
            "jobQueueArn"
        ]
        size = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}]
        container = {"image": "image", "command": ["score", "--help"], "resourceRequirements": size}
        made = {
            name: batch.register_job_definition(
                jobDefinitionName=name, type="container", containerProperties=container
            )["jobDefinitionArn"]
            for name in ("train", "score")
        }
        yield Runtime(
            stack="aws-serverless-dev",
            cloud="aws",
            platform="serverless",
            environment="dev",
            store_uri=f"s3://{BUCKET}",
            tracking_uri="",
            monitor_url="",
            release=published,
            training_job=made["train"],
            scoring_job=made["score"],
            job_queue=queue,
        )


def jobs(name: str) -> list[dict[str, Any]]:
    """The jobs of this name, in full."""
    batch = boto3.client("batch")
    found = batch.list_jobs(jobQueue="jobs", jobStatus="SUCCEEDED")["jobSummaryList"]
    ids = [job["jobId"] for job in found if job["jobName"] == name and ":" not in job["jobId"]]
    return batch.describe_jobs(jobs=ids)["jobs"] if ids else []


def child(command: list[str], index: int) -> subprocess.Popen[str]:
    """A child of the array, as Batch starts the image for it."""
    array = {"AWS_BATCH_JOB_ARRAY_INDEX": str(index), "AWS_BATCH_JOB_ARRAY_SIZE": str(SHARES)}
    return subprocess.Popen(
        [sys.executable, "-m", "ml.container", *command],
        env=os.environ | array,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_array_shares_a_dataset_and_a_killed_child_goes_on(
    tmp_path: Path, runtime: Runtime, small_problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_RUNTIME", runtime.model_dump_json())
    s3 = s3fs.S3FileSystem(skip_instance_cache=True)
    rows = rows_of(small_problem, ROWS).assign(id=np.arange(ROWS))
    for year, part in ((2016, rows[: ROWS // 2]), (2017, rows[ROWS // 2 :])):
        part.to_parquet(tmp_path / "part.parquet", row_group_size=PART_ROWS)
        s3.put_file(str(tmp_path / "part.parquet"), f"{BUCKET}/scoring/in/year={year}/part.parquet")
    source, output = f"s3://{BUCKET}/scoring/in", f"s3://{BUCKET}/scoring/out"
    options = ["--shares", str(SHARES), "--identifier", "id", "--rows-per-part", str(PART_ROWS)]
    monkeypatch.setattr("ml.runtime.Runtime.load", lambda _=None: runtime)
    asked = CliRunner().invoke(score, [source, output, "--stack", runtime.stack, *options])
    # moto has done nothing, and says that it has succeeded: what it did is asked of the output, not of Batch.
    assert isinstance(asked.exception, MlopsError)
    assert "has ended well, but s3://lake/scoring/out isn't there" in str(asked.exception)
    (job,) = jobs("aws-serverless-dev-scoring")
    assert job["arrayProperties"]["size"] == SHARES
    assert job["tags"] == {"stack": runtime.stack}
    assert job["jobDefinition"] == runtime.scoring_job

    def done() -> int:
        s3.invalidate_cache()
        return len(s3.glob(f"{BUCKET}/scoring/.out.scoring/_progress/0*.json"))

    command = job["container"]["command"]
    first = child(command, 0)
    wait_until(lambda: done() >= 1 or first.poll() is not None)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL, first.communicate()
    assert 1 <= done() < ROWS / PART_ROWS / SHARES
    assert not s3.exists(f"{BUCKET}/scoring/out/_scoring.json")
    attempts = [child(command, index) for index in (0, 1, 2)]  # the retry is the same child, with the same number
    for process in attempts:
        said, _ = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, said
    s3.invalidate_cache()
    s3.get(f"{BUCKET}/scoring/out", str(tmp_path / "out"), recursive=True)
    assert sorted(pd.read_parquet(tmp_path / "out")["id"]) == list(range(ROWS))
    again = CliRunner().invoke(score, [source, output, "--stack", runtime.stack, *options, "--json"])
    assert json.loads(again.stdout)["rows"] == ROWS


@pytest.mark.parametrize(("index", "size"), [("3", "3"), ("-1", "3"), ("0", None), ("x", "3")])
def test_an_array_that_makes_no_sense_is_refused(index: str, size: str | None) -> None:
    told = {"AWS_BATCH_JOB_ARRAY_INDEX": index} | ({"AWS_BATCH_JOB_ARRAY_SIZE": size} if size else {})
    with pytest.raises(InputRefused, match="no share of an array job"):
        share_of(told)
    assert share_of({}) is None
    assert share_of({"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "2"}) == (1, 2)


def test_a_path_of_this_machine_is_refused_before_anything_is_submitted(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.runtime.Runtime.load", lambda _=None: runtime)
    asked = CliRunner().invoke(score, ["people.parquet", "s3://lake/scoring/out", "--stack", runtime.stack])
    assert isinstance(asked.exception, InputRefused)
    assert "INPUT is people.parquet, on this machine" in str(asked.exception)
    assert not jobs("aws-serverless-dev-scoring")


def test_a_job_that_failed_is_said(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_SIMPLE_BATCH_FAIL_AFTER", "0")
    arn = submit(str(runtime.job_queue), str(runtime.training_job), "fails")
    said: list[str] = []
    with pytest.raises(MlopsError, match=rf"The job {arn.rpartition('/')[2]} failed"):
        follow(arn, said.append, said.append, poll_s=0)
    assert said == ["The job is FAILED"]
    with pytest.raises(InputRefused, match="not the ARN of a job"):
        follow("arn:aws:sagemaker:x:1:pipeline/p", said.append, said.append)
    assert not is_under_way(str(runtime.job_queue), "fails")


@pytest.fixture
def asked(small_problem: Problem) -> Problem:
    """The problem, with limits that a test's few rows can reach."""
    few = watchful(small_problem).model_dump()
    few["retraining"] |= {"minimum_comparison_rows": 5, "minimum_new_labels": 100_000, "maximum_age_days": 3650}
    return Problem.model_validate(few)


@pytest.mark.parametrize("drifted", [True, False])
def test_the_function_that_watches_submits_a_training_on_drift_and_only_once(
    runtime: Runtime, asked: Problem, published: str, store: Store, monkeypatch: pytest.MonkeyPatch, drifted: bool
) -> None:
    live = Store(runtime.store_uri)
    frame = resampled(store, published, 400)
    if drifted:
        frame = frame.with_columns(AGEP=frame["AGEP"].clip(80, 95))
    now = datetime.now(UTC)
    ids = log_predictions(live, asked, published, frame, ends=now - timedelta(hours=1))
    deliver(live, asked, ids, [asked.target.positive] * len(ids), now - timedelta(minutes=5))
    monkeypatch.setenv("MLOPS_RUNTIME", runtime.model_dump_json())
    monkeypatch.setattr(aws_watch, "load_problem", lambda: asked)
    event = {"version": "0", "source": "aws.scheduler", "detail-type": "Scheduled Event"}
    found = aws_watch.handler(event, None)
    trained = jobs("aws-serverless-dev-training")
    assert len(trained) == drifted
    assert (found["job"] is not None) is drifted
    assert live.exists("monitoring/latest.json")
    if drifted:
        assert found["job"].endswith(trained[0]["jobId"])
        variables = {each["name"]: each["value"] for each in trained[0]["container"]["environment"]}
        assert "drift" in variables["MLOPS_TRAINING_REASON"]
        assert trained[0]["jobDefinition"] == runtime.training_job
        later = aws_watch.handler(event, None)
        assert later["job"] is None
        assert "a training was asked for on" in later["but"][0]
        assert len(jobs("aws-serverless-dev-training")) == len(list(live.list(REQUESTS))) == 1


def test_a_monitor_that_has_no_job_to_submit_says_so(runtime: Runtime, asked: Problem) -> None:
    with pytest.raises(InputRefused, match="no job that trains"):
        aws_watch.watch(asked, runtime.model_copy(update={"training_job": None}), NOW)
