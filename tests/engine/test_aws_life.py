"""A release's life in three AWS accounts, each with the roles that its stack has made and what these may do.

The engine is the real one; the accounts are simulated (moto's server). Whoever acts has taken a role of the stack, and
tests/accounts.py judges each of its requests to S3 by the policies of role, bucket and key. What SageMaker and
EventBridge would start is started here by the test, from what they were told. A test builds on the one before.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import pytest
from moto.events.models import EventPattern

from ml.bundle.bundle import key_of
from ml.bundle.schema import BundleSchema
from ml.feedback.requests import ask
from ml.feedback.retrain import judge
from ml.monitoring.run import monitor_once
from ml.platforms.sagemaker.pipeline import start
from ml.problem import Problem, load_problem
from ml.release.approve import approve
from ml.release.audit import audit
from ml.release.promote import promote
from ml.release.registry import hand_over
from ml.release.rollback import roll_back
from ml.release.stage import Stage
from ml.runtime import Runtime
from ml.store import Store
from tests.accounts import Guard, acting_as, guard
from tests.monitor_data import deliver, log_predictions, resampled, watchful
from tests.processes import process
from tests.simulated_engine import Simulation
from tests.stages import APPROVER, AUTHOR, release_into, without_shadow

ROOT = Path(__file__).parents[2]
REGION = "eu-west-1"
ACCOUNTS = {"dev": "111122223333", "test": "444455556666", "prod": "123456789012"}
IMAGE = "sha256:" + "1" * 64


def say(_: str) -> None:
    pass


class Accounts:
    """Three accounts with the stack of their environment in each."""

    def __init__(self, clouds: Simulation, guard: Guard) -> None:
        self.clouds, self.guard = clouds, guard
        self.endpoint = clouds.environment["AWS_ENDPOINT_URL"]
        self.releases: list[str] = []

    def up(self, environment: str, **values: Any) -> None:
        self.clouds.configure(f"aws-sagemaker-{environment}", **values)
        self.clouds.pulumi("up", "--yes", "--skip-preview", stack=f"aws-sagemaker-{environment}")

    def runtime(self, environment: str) -> Runtime:
        return Runtime.model_validate(self.clouds.outputs(f"aws-sagemaker-{environment}"))

    def stage(self, environment: str) -> Stage:
        """As the process's role of now sees it."""
        file = self.clouds.inside / "stacks" / f"Pulumi.aws-sagemaker-{environment}.yaml"
        return Stage.of(self.runtime(environment), file, self.clouds.inside)

    def role(self, environment: str, workload: str) -> AbstractContextManager[dict[str, str]]:
        arn = f"arn:aws:iam::{ACCOUNTS[environment]}:role/mlops-aws-sagemaker-{environment}-{workload}"
        return acting_as(arn, self.endpoint)


@pytest.fixture(scope="module")
def accounts(clouds: Simulation) -> Iterator[Accounts]:
    with guard() as guarding:
        made = Accounts(clouds, guarding)
        for environment in ACCOUNTS:
            clouds.pulumi("stack", "init", stack=f"aws-sagemaker-{environment}")
            made.up(environment, image=IMAGE)
        yield made


def test_ci_of_dev_uploads_trains_and_releases(accounts: Accounts, candidate: Path, small_problem: Problem) -> None:
    runtime = accounts.runtime("dev")
    with accounts.role("dev", "ci-github"):
        execution = start(load_problem(), runtime, ROOT, say)
        assert boto3.client("sagemaker").describe_pipeline_execution(PipelineExecutionArn=execution)
        stage = accounts.stage("dev")
        digest = release_into(stage, candidate, small_problem)
        accounts.releases.append(digest)
        registered = hand_over(stage, digest, say)
        package = boto3.client("sagemaker").describe_model_package(ModelPackageName=str(registered))
    assert package["ModelPackageGroupName"] == "mlops-aws-sagemaker-dev-models"
    assert package["ModelApprovalStatus"] == "Approved"
    assert package["CustomerMetadataProperties"]["release"] == digest
    assert package["InferenceSpecification"]["Containers"][0]["Image"].endswith(f"dev-image@{IMAGE}")
    assert not accounts.guard.refused
    with accounts.role("dev", "training"):  # what SageMaker does with a job's role, before and after it
        Store(runtime.store_uri).write("training/job/output/model.tar.gz", b"model")
        assert Store(runtime.store_uri).exists("datasets/2015.parquet")
    assert "s3:GetObject" in {action for role, action in accounts.guard.allowed if role.endswith("dev-ci-github")}


@pytest.mark.parametrize(
    ("act", "refused"),
    [
        (lambda store: store.read("predictions/day=2026-01-01/x.parquet"), "s3:GetObject"),
        (lambda store: store.filesystem.ls(store.path("predictions")), "s3:ListBucket"),
        (lambda store: store.read("datasets/2015.parquet"), "s3:GetObject"),
        (lambda store: store.write("bundles/sha256/x", b"theirs"), "s3:PutObject"),
        (lambda store: store.write("ledger/00000099.json", b"theirs"), "s3:PutObject"),
        (lambda store: store.filesystem.rm_file(store.path("ledger/00000001.json")), "s3:DeleteObject"),
    ],
)
def test_ci_of_test_may_not_read_people_nor_write_anything_in_dev(
    accounts: Accounts, act: Callable[[Store], object], refused: str
) -> None:
    uri = accounts.runtime("dev").store_uri
    Store(uri).write("predictions/day=2026-01-01/x.parquet", b"people")
    accounts.guard.refused.clear()
    with accounts.role("test", "ci-github"), pytest.raises(PermissionError):
        act(Store(uri))
    ((role, action, _),) = set(accounts.guard.refused)
    assert (role.rpartition("/")[2], action) == ("mlops-aws-sagemaker-test-ci-github", refused)


def test_no_workload_of_test_reads_dev(accounts: Accounts) -> None:
    uri = accounts.runtime("dev").store_uri
    key = f"{key_of(accounts.releases[0])}/manifest.json"
    for workload in ("serving", "training", "monitoring"):
        with accounts.role("test", workload), pytest.raises(PermissionError):
            Store(uri).read(key)
    with accounts.role("test", "ci-github"):
        assert Store(uri).read(key)


def test_a_release_goes_from_dev_to_test_to_prod_by_each_account_s_own_ci(
    accounts: Accounts, small_problem: Problem
) -> None:
    (digest,) = accounts.releases
    accounts.guard.refused.clear()
    for before, here in (("dev", "test"), ("test", "prod")):
        with accounts.role(here, "ci-github"):
            stage = accounts.stage(here)
            promote(accounts.stage(before), stage, digest, small_problem, stage.signer(AUTHOR), say)
            if here == "prod":
                approve(stage, digest, 14, stage.signer(APPROVER), load_problem())
        accounts.up(here)
        assert accounts.runtime(here).release == digest
    assert accounts.guard.refused == []
    with accounts.role("prod", "ci-github"):
        findings = audit(accounts.stage("prod"))
    assert findings
    assert all(finding.holds for finding in findings), findings


def test_it_is_rolled_back_to_the_release_before(
    accounts: Accounts, candidate: Path, small_problem: Problem, make_candidate: Callable[..., None], tmp_path: Path
) -> None:
    make_candidate(tmp_path / "second", small_problem, seed=2)
    with accounts.role("dev", "ci-github"):
        second = release_into(accounts.stage("dev"), tmp_path / "second", small_problem, version="2")
    with accounts.role("test", "ci-github"):
        stage = accounts.stage("test")
        promote(accounts.stage("dev"), stage, second, without_shadow(small_problem), stage.signer(AUTHOR), say)
    accounts.up("test")
    assert accounts.runtime("test").release == second
    with accounts.role("test", "ci-github"):
        stage = accounts.stage("test")
        assert roll_back(stage, None, stage.signer(AUTHOR)) == accounts.releases[0]
    assert stage.file.read_text().count(accounts.releases[0]) == 1  # pinned; that `up` then serves it is seen elsewhere
    assert accounts.guard.refused == []


def test_what_is_served_is_logged_in_the_store_as_the_serving_role(
    accounts: Accounts, small_problem: Problem, tmp_path: Path
) -> None:
    """The container as SageMaker starts it: with the variables and the model that the stack's Model names."""
    runtime = accounts.runtime("prod")
    with accounts.role("prod", "serving") as variables:
        sagemaker = boto3.client("sagemaker", region_name=REGION)
        endpoint = sagemaker.describe_endpoint(EndpointName=str(runtime.endpoint_url).split("/")[-2])
        config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
        model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])["PrimaryContainer"]
        source = model["ModelDataSource"]["S3DataSource"]["S3Uri"]
        Store(runtime.store_uri).download(source.removeprefix(f"{runtime.store_uri}/").rstrip("/"), tmp_path / "model")
        environment = variables | model["Environment"] | {"SAGEMAKER_BASE_DIR": str(tmp_path)}
        environment |= {"MLOPS_SERVE_FLUSH_INTERVAL_S": "0.1", "MLOPS_SERVE_ROTATE_INTERVAL_S": "0.3"}
        environment |= {"MLOPS_STATE": str(tmp_path / "state")}
        row = json.dumps(dict(BundleSchema.of(small_problem).example)).encode()
        with process("serve", module="ml.container", environment=environment) as running:
            running.wait_for(lambda: running.ask("GET", "/ping")[0] == 200)
            bucket = runtime.store_uri.removeprefix("s3://")
            status, answer = running.ask("POST", "/invocations", row, {"Content-Type": "application/json"})
            assert status == 200, answer
            running.wait_for(lambda: len(logged(accounts, bucket)) == 1, timeout_s=20)
    assert json.loads(answer)["release"] == accounts.releases[0]
    assert accounts.guard.refused == []


def logged(accounts: Accounts, bucket: str) -> list[str]:
    """What lies in a store's prediction log, as its operator sees it."""
    s3 = boto3.Session("x", "x").client("s3", endpoint_url=accounts.endpoint, region_name=REGION)
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="predictions/").get("Contents", [])
    return [each["Key"] for each in listed if each["Key"].endswith(".parquet")]


def test_drift_is_found_and_asks_for_a_training_that_starts(accounts: Accounts, small_problem: Problem) -> None:
    runtime, now = accounts.runtime("prod"), datetime.now(UTC)
    store, release = Store(runtime.store_uri), accounts.releases[0]
    few = {"minimum_comparison_rows": 50, "minimum_new_labels": 10_000}
    problem = watchful(small_problem).model_copy(update={"retraining": small_problem.retraining.model_copy(update=few)})
    with accounts.role("prod", "serving"):  # a population that the model was not trained on
        old = resampled(Store(runtime.store_uri), release, 400, where=pl.col("AGEP") > pl.col("AGEP").median())
        ids = log_predictions(Store(runtime.store_uri), problem, release, old, ends=now)
    labels = old[problem.target.column].to_list()  # such as the model was trained on: others would not be believed
    deliver(store, problem, ids, labels, now)  # the operator: no role of the stack brings labels
    with accounts.role("prod", "monitoring"):
        report = monitor_once(Store(runtime.store_uri), problem, now, now - timedelta(hours=12), None, say)
        assert report
        assert report.champion.drift.alert
        verdict, _ = judge(problem, runtime, now)
        assert verdict.is_due, verdict
        assert [trigger.kind for trigger in verdict.triggers if trigger.holds] == ["drift"]
        ask(Store(runtime.store_uri), verdict, datetime.now(UTC))
    assert accounts.guard.refused == []
    (request,) = store.list("retraining/requested")
    target = matching_target(accounts, runtime.store_uri.removeprefix("s3://"), request)
    assert target["Arn"] == runtime.training_job
    with acting_as(target["RoleArn"], accounts.endpoint):
        started = boto3.client("sagemaker").start_pipeline_execution(
            PipelineName=target["Arn"].rpartition("/")[2],
            PipelineParameters=[{"Name": given["name"], "Value": given["value"]} for given in parameters(accounts)],
            ClientRequestToken="1" * 32,
        )["PipelineExecutionArn"]
        found = boto3.client("sagemaker").list_pipeline_parameters_for_execution(PipelineExecutionArn=started)
    assert found["PipelineParameters"] == [{"Name": "Reason", "Value": "drift"}]


def parameters(accounts: Accounts) -> Any:
    """What the target hands to the pipeline, of which moto keeps nothing: from the simulated account."""
    things = accounts.clouds.things("aws-sagemaker-prod")
    (target,) = [each["inputs"] for each in things if "sagemakerPipelineTarget" in each["inputs"]]
    return target["sagemakerPipelineTarget"]["pipelineParameterLists"]


def matching_target(accounts: Accounts, bucket: str, key: str) -> Any:
    """The target of the one rule that matches what S3 tells EventBridge of a new object; moto starts no pipeline."""
    detail = {"version": "0", "bucket": {"name": bucket}, "object": {"key": key, "size": 1}, "reason": "PutObject"}
    event: Any = {"source": "aws.s3", "detail-type": "Object Created", "account": ACCOUNTS["prod"], "detail": detail}
    events = boto3.Session("x", "x").client("events", endpoint_url=accounts.endpoint, region_name=REGION)
    rules = [
        rule for rule in events.list_rules()["Rules"] if EventPattern.load(rule["EventPattern"]).matches_event(event)
    ]
    (rule,) = rules
    other = event | {"detail": detail | {"object": {"key": "predictions/x.parquet"}}}
    assert not EventPattern.load(rule["EventPattern"]).matches_event(other)
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    return target
