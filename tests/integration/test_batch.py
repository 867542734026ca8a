"""Training and scoring as jobs of AWS Batch, by the definitions of the shipped stack; and what a monitor submits.

The queue is moto's, which runs nothing: tests/fargate.py runs the jobs as processes of this machine.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import mlflow
import numpy as np
import pandas as pd
import pytest
import s3fs
from click.testing import CliRunner
from moto.core.config import default_user_config

from ml.bundle.bundle import key_of
from ml.errors import InputRefused, MlopsError, ReleaseRefused
from ml.feedback.requests import REQUESTS
from ml.platforms.serverless import watch as aws_watch
from ml.platforms.serverless.jobs import follow, is_under_way, share_of, submit
from ml.problem import Problem, load_problem
from ml.release.release import release
from ml.runtime import Runtime
from ml.scoring.command import score
from ml.store import Store
from ml.training.command import train
from ml.trust.keys import personal_folder
from tests.aws import aws
from tests.conftest import rows_of
from tests.fargate import Fargate, fargate
from tests.integration.conftest import mlflow_server
from tests.monitor_data import NOW, deliver, log_predictions, resampled, watchful
from tests.planned import Planned
from tests.plans import shared_plan
from tests.signed import signed_door
from tests.vouched import Marks

REGION, QUEUE = "eu-west-1", "jobs"
ROOT = Path(__file__).parents[2]
SHARES, PART_ROWS, ROWS = 3, 400, 6000


@pytest.fixture(scope="module")
def planned() -> Planned:
    """The shipped stack, as the project's program makes it."""
    return shared_plan("aws-serverless-dev")


def named(planned: Planned, name: str) -> Any:
    """What the program states of one of its resources."""
    return next(dict(resource.properties) for resource in planned.resources if resource.name == name)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch, store: Store, published: str, planned: Planned) -> Iterator[Runtime]:
    """A stack without a server: its queue, jobs and log in moto, its store in moto's S3, with the release in it."""
    monkeypatch.setitem(default_user_config, "batch", {"use_docker": False})
    monkeypatch.setenv("MLOPS_TRUSTED_KEYS", str(personal_folder()))  # a shared store trusts no user's own keys
    monkeypatch.setattr("ml.platforms.serverless.jobs.POLL_S", 0.3)
    told = named(planned, "jobs-runtime")
    with aws(monkeypatch, REGION):
        s3 = s3fs.S3FileSystem(skip_instance_cache=True)
        s3.mkdir(told["bucket"], region_name=REGION)
        s3.pipe(f"{told['bucket']}/{told['key']}", told["content"].encode())
        s3.put(store.path(key_of(published)), f"{told['bucket']}/{key_of(published)}", recursive=True)
        boto3.client("logs").create_log_group(logGroupName=named(planned, "platform-log")["name"])
        made = {name: registered(named(planned, f"jobs-{name}")) for name in ("train", "score")}
        jobs_ = {"training_job": made["train"], "scoring_job": made["score"], "job_queue": queue()}
        runtime = Runtime.parse(json.loads(told["content"]) | jobs_ | {"release": published}, "the plan")
        monkeypatch.setenv("MLOPS_RUNTIME", runtime.model_dump_json())
        monkeypatch.setattr("ml.runtime.Runtime.load", lambda _=None: runtime)
        yield runtime


def registered(definition: Any) -> str:
    """The ARN of a definition in moto, which takes a program's as boto3 names it."""
    retries = definition["retryStrategy"]
    return boto3.client("batch").register_job_definition(
        jobDefinitionName=definition["name"],
        type=definition["type"],
        platformCapabilities=definition["platformCapabilities"],
        containerProperties=json.loads(definition["containerProperties"]),
        retryStrategy={"attempts": retries["attempts"], "evaluateOnExit": retries["evaluateOnExits"]},
    )["jobDefinitionArn"]


def queue() -> str:
    """The ARN of a queue with somewhere to run."""
    batch, ec2 = boto3.client("batch"), boto3.client("ec2")
    role = boto3.client("iam").create_role(RoleName="batch", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    network = {
        "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        "securityGroupIds": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
    }
    capacity = {"type": "FARGATE", "maxvCpus": 4, **network}
    batch.create_compute_environment(
        computeEnvironmentName="capacity", type="MANAGED", computeResources=capacity, serviceRole=role
    )
    order = [{"order": 1, "computeEnvironment": "capacity"}]
    return batch.create_job_queue(jobQueueName=QUEUE, state="ENABLED", priority=1, computeEnvironmentOrder=order)[
        "jobQueueArn"
    ]


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> Iterator[Fargate]:
    with fargate(monkeypatch, REGION) as running:
        yield running


def jobs(name: str) -> list[dict[str, Any]]:
    """The jobs of this name, in full."""
    batch = boto3.client("batch")
    found = batch.list_jobs(jobQueue=QUEUE, jobStatus="SUCCEEDED")["jobSummaryList"]
    ids = [job["jobId"] for job in found if job["jobName"] == name and ":" not in job["jobId"]]
    return batch.describe_jobs(jobs=ids)["jobs"] if ids else []


def test_a_training_comes_back_with_its_candidate(
    runtime: Runtime, running: Fargate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the stack's job: its machine is taken away once, and the next attempt trains from the beginning."""

    def taken_away(_job: Any, attempt: int, process: "subprocess.Popen[str]") -> None:
        if attempt == 1:
            process.kill()

    running.on_machine = taken_away
    with (
        mlflow_server(tmp_path / "mlflow", {"ROOT": f"{runtime.store_uri}/tracking"}) as url,
        signed_door(url, "nobody", "nothing", REGION) as door,
    ):
        monkeypatch.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", door.url)
        done = CliRunner().invoke(train, ["--root", str(ROOT), "--json"], catch_exceptions=False)
        found = json.loads(done.stdout)
        client = mlflow.MlflowClient(tracking_uri=url)
        run = client.get_run(found["run_id"])
        (tmp_path / "model.pkl").write_bytes(Marks(tmp_path / "marker").pickled)
        client.log_artifact(found["run_id"], str(tmp_path / "model.pkl"), "candidate/model")
        with pytest.raises(ReleaseRefused, match=r"candidate/model/model\.pkl was altered"):
            release(load_problem(), runtime, found["run_id"], lambda _: None)
        assert not (tmp_path / "marker").exists()
    assert list(running.codes.values()) == [[137, 0]]
    assert "The job is RUNNING" in done.stderr
    assert "The job is SUCCEEDED" in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("         | ")]
    assert sum(f"Logging to {runtime.tracking_uri}" in line for line in lines) == 1
    metric = {each["name"]: each for each in found["evaluation"]["metrics"]}["roc_auc"]
    assert metric["value"] > metric["baseline"] > 0.7
    assert run.info.status == "FINISHED"
    assert {gate["result"] for gate in found["gates"]} <= {"passed", "waived"}
    again = CliRunner().invoke(train, ["--follow", found["execution"], "--json"], catch_exceptions=False)
    assert json.loads(again.stdout) == found
    (job,) = jobs(f"{runtime.stack}-training")
    assert job["tags"] == {"stack": runtime.stack}
    assert {"name": "MLOPS_TRAINING_REASON", "value": "person"} in job["container"]["environment"]


def test_what_mlops_refuses_is_not_tried_again(runtime: Runtime, running: Fargate) -> None:
    words = ["train", "--no-such-option"]
    arn = submit(str(runtime.job_queue), str(runtime.training_job), "training", command=words)
    with pytest.raises(MlopsError, match=r"failed with exit code 2: (.|\n)*No such option"):
        follow(arn, lambda _: None, lambda _: None)
    assert list(running.codes.values()) == [[2]]


def test_an_array_shares_a_dataset_and_a_killed_child_goes_on(
    tmp_path: Path, runtime: Runtime, running: Fargate, small_problem: Problem
) -> None:
    bucket = runtime.store_uri.removeprefix("s3://")
    s3 = s3fs.S3FileSystem(skip_instance_cache=True)
    rows = rows_of(small_problem, ROWS).assign(id=np.arange(ROWS))
    for year, part in ((2016, rows[: ROWS // 2]), (2017, rows[ROWS // 2 :])):
        part.to_parquet(tmp_path / "part.parquet", row_group_size=PART_ROWS)
        s3.put_file(str(tmp_path / "part.parquet"), f"{bucket}/scoring/in/year={year}/part.parquet")

    def taken_away(job: Any, attempt: int, process: "subprocess.Popen[str]") -> None:
        """The first child's machine, when it has done something and not all of it."""
        done: list[str] = []
        while job.job_id.endswith(":0") and attempt == 1 and process.poll() is None and not done:
            s3.invalidate_cache()
            done = s3.glob(f"{bucket}/scoring/.out.scoring/_progress/0*.json")
            time.sleep(0.02)
        if done:
            process.kill()

    running.on_machine = taken_away
    source, output = f"{runtime.store_uri}/scoring/in", f"{runtime.store_uri}/scoring/out"
    options = ["--shares", str(SHARES), "--identifier", "id", "--rows-per-part", str(PART_ROWS)]
    words = [source, output, "--stack", runtime.stack, *options, "--json"]
    done = CliRunner().invoke(score, words, catch_exceptions=False)
    found = json.loads(done.stdout)
    assert (found["rows"], found["is_complete"]) == (ROWS, True)
    assert sorted(running.codes.values()) == [[0], [0], [137, 0]]
    assert "The job is SUCCEEDED: 3 succeeded" in done.stderr
    s3.invalidate_cache()
    s3.get(f"{bucket}/scoring/out", str(tmp_path / "out"), recursive=True)
    assert sorted(pd.read_parquet(tmp_path / "out")["id"]) == list(range(ROWS))
    followed = CliRunner().invoke(score, ["--follow", found["job"], "--json"], catch_exceptions=False)
    assert json.loads(followed.stdout) == found
    assert len(jobs(f"{runtime.stack}-scoring")) == 1


def test_a_scoring_that_its_input_refuses_fails_with_the_child_s_words(runtime: Runtime, running: Fargate) -> None:
    words = [f"{runtime.store_uri}/scoring/nothing", f"{runtime.store_uri}/scoring/out", "--stack", runtime.stack]
    failed = CliRunner().invoke(score, [*words, "--shares", "2"])
    assert isinstance(failed.exception, MlopsError)
    assert "failed with exit code 2" in str(failed.exception)
    assert "scoring/nothing isn't there" in str(failed.exception)
    assert list(running.codes.values()) == [[2], [2]]


def test_only_a_scoring_is_followed_as_one(runtime: Runtime) -> None:
    trained = submit(str(runtime.job_queue), str(runtime.training_job), "training")
    for arn, why in (
        (trained, "is no scoring: it runs train"),
        ("arn:aws:x:y:z:job/1", "names no scoring of any platform"),
    ):
        refused = CliRunner().invoke(score, ["--follow", arn])
        assert isinstance(refused.exception, InputRefused)
        assert why in str(refused.exception)
    assert "INPUT and OUTPUT, or --follow" in CliRunner().invoke(score, []).stderr


@pytest.mark.parametrize(("index", "size"), [("3", "3"), ("-1", "3"), ("0", None), ("x", "3")])
def test_an_array_that_makes_no_sense_is_refused(index: str, size: str | None) -> None:
    told = {"AWS_BATCH_JOB_ARRAY_INDEX": index} | ({"AWS_BATCH_JOB_ARRAY_SIZE": size} if size else {})
    with pytest.raises(InputRefused, match="no share of an array job"):
        share_of(told)
    assert share_of({}) is None
    assert share_of({"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "2"}) == (1, 2)


def test_a_path_of_this_machine_is_refused_before_anything_is_submitted(
    runtime: Runtime,
) -> None:
    asked = CliRunner().invoke(score, ["people.parquet", f"{runtime.store_uri}/scoring/out", "--stack", runtime.stack])
    assert isinstance(asked.exception, InputRefused)
    assert "INPUT is people.parquet, on this machine" in str(asked.exception)
    assert not jobs("aws-serverless-dev-scoring")


def test_a_job_that_failed_is_said(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_SIMPLE_BATCH_FAIL_AFTER", "0")
    arn = submit(str(runtime.job_queue), str(runtime.training_job), "fails")
    said: list[str] = []
    with pytest.raises(MlopsError, match=rf"The job {arn.rpartition('/')[2]} failed"):
        follow(arn, said.append, said.append)
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
    other = next(code for code in asked.target.codes if code != asked.target.positive)
    labels = [asked.target.positive if score >= 0.5 else other for score in frame["score"]]
    deliver(live, asked, ids, labels, now - timedelta(minutes=5))
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
