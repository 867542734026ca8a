"""What every AWS stack registers: names, tags, protection, buckets, and what differs between environments."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.config import ENVIRONMENTS
from ml.runtime import Runtime
from tests.contract.conftest import ALL, DIGEST, GOLDEN, SAGEMAKER, Plan, documents, of_type, stated
from tests.inputs import SHIPPED

# What keeps data, evidence or names that others rely on.
KEEPS = ("s3/bucket:Bucket", "kms/key:Key", "ecr/repository:Repository", "cloudtrail/trail:Trail")
SERVES = (
    *("sagemaker/endpoint:Endpoint", "sagemaker/mlflowTrackingServer:MlflowTrackingServer"),
    *("lambda/function:Function", "lambda/alias:Alias"),
)


@pytest.mark.parametrize("stack", ALL)
@pytest.mark.parametrize("released", [False, True], ids=["empty", "released"])
def test_types_names_and_parents_are_those_of_the_golden_list(
    planned: Callable[..., Plan], stack: str, released: bool
) -> None:
    """A changed type, name or parent replaces the resource in every environment: change the list on purpose only."""
    registered = sorted([r.type, r.name, r.parent] for r in planned(stack, released=released).resources)
    golden = json.loads((GOLDEN / f"{stack}.json").read_text())["released" if released else "empty"]
    assert registered == golden


@pytest.mark.parametrize("stack", ALL)
def test_outputs_are_the_runtime(planned: Callable[..., Plan], stack: str) -> None:
    outputs = planned(stack).outputs
    assert outputs.keys() == Runtime.model_fields.keys()
    runtime = Runtime.model_validate(outputs)
    assert runtime.release == DIGEST
    assert runtime.store_uri.startswith("s3://mlops-")
    assert runtime.training_job is not None


@pytest.mark.parametrize("stack", SAGEMAKER)
def test_a_first_up_makes_what_images_and_releases_come_into_and_nothing_that_waits_for_them(
    planned: Callable[..., Plan], stack: str
) -> None:
    plan = planned(stack, released=False)
    runtime = Runtime.model_validate(plan.outputs)
    assert (runtime.endpoint_url, runtime.release, runtime.training_job) == (None, None, None)
    assert of_type(plan, "ecr/repository:Repository")
    assert not of_type(plan, "sagemaker/model:Model", "sagemaker/pipeline:Pipeline")


@pytest.mark.parametrize("stack", ALL)
def test_whatever_can_be_tagged_is_tagged_by_the_provider(planned: Callable[..., Plan], stack: str) -> None:
    """Tags are the provider's: it puts them on all it makes. What has tags of its own doesn't override them."""
    plan = planned(stack, **{"mlops:owner": "fraud-team"})
    tags = json.loads(plan.named("aws").inputs["defaultTags"])["tags"]
    assert set(tags) == {"project", "stack", "environment", "owner", "cost-centre", "data-class"}
    assert (tags["owner"], tags["stack"]) == ("fraud-team", stack)
    assert not [r.name for r in plan.resources if set(r.inputs.get("tags") or {}) & set(tags)]


@pytest.mark.parametrize("stack", ALL)
def test_nothing_is_made_in_another_account(planned: Callable[..., Plan], stack: str) -> None:
    own = json.loads(stated(stack)["mlops:aws"])["account_id"]
    assert json.loads(planned(stack).named("aws").inputs["allowedAccountIds"]) == [own]


@pytest.mark.parametrize("stack", ALL)
def test_prod_protects_what_keeps_and_what_serves_and_the_others_nothing(
    planned: Callable[..., Plan], stack: str
) -> None:
    plan = planned(stack)
    kept = of_type(plan, *KEEPS, *SERVES)
    assert len(kept) > 6
    assert {r.protected for r in kept} == {stack.endswith("prod")}


@pytest.mark.parametrize("stack", ALL)
def test_every_bucket_is_closed_versioned_and_encrypted(planned: Callable[..., Plan], stack: str) -> None:
    plan = planned(stack)
    buckets = {r.name.removesuffix("-bucket") for r in of_type(plan, "s3/bucket:Bucket")}
    assert {"store", "observability-audit"} <= buckets
    for bucket in buckets:
        block = plan.named(f"{bucket}-private").inputs
        assert all(block[key] for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls"))
        assert block["restrictPublicBuckets"]
        assert plan.named(f"{bucket}-versioning").inputs["versioningConfiguration"]["status"] == "Enabled"
        rule = plan.named(f"{bucket}-encryption").inputs["rules"][0]
        assert rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] == "aws:kms"
        refused = [s["Condition"] for n, s in documents(plan) if n == f"{bucket}-policy" and s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in refused


def test_only_prod_has_a_ledger_that_nobody_can_delete(planned: Callable[..., Plan]) -> None:
    locks = {
        s: of_type(planned(s), "s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration") for s in SAGEMAKER
    }
    assert {stack: len(found) for stack, found in locks.items()} == dict(zip(SAGEMAKER, (0, 0, 1), strict=True))
    retention = locks["aws-sagemaker-prod"][0].inputs["rule"]["defaultRetention"]
    assert retention == {"mode": "COMPLIANCE", "days": ENVIRONMENTS["prod"].ledger_lock_days}


@pytest.mark.parametrize("stack", ALL)
def test_names_keep_within_the_services_limits(planned: Callable[..., Plan], stack: str) -> None:
    limits = {
        "iam/role:Role": ("name", 64),
        "s3/bucket:Bucket": ("bucket", 63),
        "sagemaker/endpoint:Endpoint": ("name", 63),
        "sagemaker/endpointConfiguration:EndpointConfiguration": ("name", 63),
        "sagemaker/model:Model": ("name", 63),
        "scheduler/schedule:Schedule": ("name", 64),
        "cloudwatch/eventRule:EventRule": ("name", 64),
        "budgets/budget:Budget": ("name", 100),
        "lambda/function:Function": ("name", 64),
        "batch/jobQueue:JobQueue": ("name", 128),
        "sqs/queue:Queue": ("name", 80),
    }
    seen = {r.type.removeprefix("aws:") for r in planned(stack).resources}
    assert len(limits.keys() & seen) >= 7
    for type_, (key, limit) in limits.items():
        found = of_type(planned(stack), type_)
        assert all(len(r.inputs[key]) <= limit for r in found)
        assert len({r.inputs[key] for r in found}) == len(found)


@pytest.mark.parametrize("stack", ALL)
def test_logical_names_hold_no_environment_and_no_region(planned: Callable[..., Plan], stack: str) -> None:
    said = {stack.rpartition("-")[2], "eu-west-1", "eu-central-1"}
    assert not [r.name for r in planned(stack).resources if said & {*r.name.split("-"), r.name}]


def test_a_shared_account_gets_nothing_twice_that_it_has_once(planned: Callable[..., Plan]) -> None:
    shared = json.loads(stated("aws-sagemaker-prod")["mlops:aws"]) | {"account_is_shared": True}
    plan = planned("aws-sagemaker-prod", **{"mlops:aws": json.dumps(shared)})
    once = (
        "iam/openIdConnectProvider:OpenIdConnectProvider",
        "ecr/replicationConfiguration:ReplicationConfiguration",
        "costexplorer/anomalyMonitor:AnomalyMonitor",
    )
    assert not of_type(plan, *once)
    groups = {r.inputs["name"] for r in of_type(plan, "cloudwatch/logGroup:LogGroup")}
    assert not {f"/aws/sagemaker/{jobs}" for jobs in ("TrainingJobs", "ProcessingJobs")} & groups
    assert all(of_type(planned("aws-sagemaker-prod"), type_) for type_ in once)


def test_every_target_lives_its_whole_life_under_the_engine() -> None:
    files = (Path(__file__).parents[1] / "engine").glob("test_life_*.py")
    stacks = {re.findall(r'^STACK = "(.+)"$', file.read_text(), re.MULTILINE)[0] for file in files}
    assert {stack.rpartition("-")[0] for stack in stacks} == set(SHIPPED)
