"""A resource's life in a simulated account: what is kept, planned, seen, changed and ended."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.simulation.faults import Fault
from tests.simulated import UNKNOWN, Cloud, Refused, cloud

BUCKET = "s3/bucket:Bucket"


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Cloud]:
    with cloud(tmp_path) as opened:
        yield opened


def test_a_created_thing_has_the_outputs_of_its_service(aws: Cloud) -> None:
    created = aws.create(BUCKET, "store", bucket="mlops-store", tags={"a": "b"})
    assert created["id"] == "mlops-store"
    assert created["arn"] == "arn:aws:s3:::mlops-store"
    assert created["tagsAll"] == {"a": "b"}


def test_a_preview_keeps_nothing_and_knows_no_computed_output(aws: Cloud) -> None:
    planned = aws.plan(BUCKET, "store", bucket="mlops-store")
    assert planned["arn"] is UNKNOWN
    assert planned["bucket"] == "mlops-store"
    assert aws.read(BUCKET, "store", "mlops-store") is None


def test_a_preview_sees_what_it_has_planned(aws: Cloud) -> None:
    aws.plan(BUCKET, "store", bucket="mlops-store")
    with pytest.raises(Refused, match="taken"):
        aws.plan(BUCKET, "other", bucket="mlops-store")


def test_what_exists_stays_between_runs(tmp_path: Path) -> None:
    with cloud(tmp_path, run="first") as aws:
        aws.create(BUCKET, "store", bucket="mlops-store")
    with cloud(tmp_path, run="second") as aws:
        assert aws.read(BUCKET, "store", "mlops-store")
        aws.delete(BUCKET, "store", "mlops-store")
    with cloud(tmp_path, run="third") as aws:
        assert aws.read(BUCKET, "store", "mlops-store") is None


def test_a_change_behind_the_engines_back_is_seen(aws: Cloud, tmp_path: Path) -> None:
    aws.create(BUCKET, "store", bucket="mlops-store", forceDestroy=False)
    file = tmp_path / "aws-sagemaker-dev.json"
    things = json.loads(file.read_text())
    things[0]["inputs"]["forceDestroy"] = True
    file.write_text(json.dumps(things))
    seen = aws.read(BUCKET, "store", "mlops-store")
    assert seen
    assert seen["forceDestroy"] is True


def test_an_update_keeps_generated_ids(aws: Cloud) -> None:
    key = aws.create("kms/key:Key", "key", description="one")
    updated = aws.update("kms/key:Key", "key", key["id"], description="two")
    assert updated["arn"] == key["arn"]
    assert updated["description"] == "two"


def test_a_version_is_counted_up_by_a_change_and_by_nothing_else(aws: Cloud) -> None:
    kind = "batch/jobDefinition:JobDefinition"
    given = {"type": "container", "containerProperties": json.dumps({"image": "registry.example/image:1"})}
    made = aws.create(kind, "job", name="train", **given)
    assert made["revision"] == 1
    same = aws.update(kind, "job", made["id"], name="train", **given)
    assert same["revision"] == 1
    changed = aws.update(kind, "job", made["id"], name="train", **given, propagateTags=True)
    assert changed["revision"] == 2


def test_a_name_that_can_not_change_needs_a_new_resource_deleted_first_when_another_name_stays(aws: Cloud) -> None:
    difference = aws.diff(BUCKET, "store", {"bucket": "one"}, {"bucket": "two"})
    assert list(difference.replaces) == ["bucket"]
    assert not difference.deleteBeforeReplace
    difference = aws.diff(BUCKET, "store", {"bucket": "one"}, {"bucket": "one", "objectLockEnabled": True})
    assert list(difference.replaces) == ["objectLockEnabled"]
    assert difference.deleteBeforeReplace


def test_what_can_change_in_place_is_no_replacement(aws: Cloud) -> None:
    difference = aws.diff(BUCKET, "store", {"tags": {"a": "1"}}, {"tags": {"a": "2"}})
    assert not difference.replaces
    assert list(difference.detailedDiff) == ["tags.a"]


def test_default_tags_of_the_provider_reach_every_resource(aws: Cloud) -> None:
    aws.configure({"region": "eu-central-1", "defaultTags": json.dumps({"tags": {"owner": "ml"}})})
    assert aws.create(BUCKET, "store", bucket="mlops-store")["tagsAll"] == {"owner": "ml"}


def test_a_secret_is_not_on_disk(aws: Cloud, tmp_path: Path) -> None:
    from pulumi.runtime.proto import provider_pb2

    from infra.simulation.wire import decode, encode, secret_names

    properties = encode({"name": "/a", "type": "SecureString", "value": "hunter2"}, frozenset({"value"}))
    urn = aws.urn("aws:ssm/parameter:Parameter", "secret")
    created = aws.stub.Create(provider_pb2.CreateRequest(urn=urn, properties=properties))
    assert secret_names(created.properties) == {"value"}
    assert "hunter2" not in (tmp_path / "aws-sagemaker-dev.json").read_text()
    read = aws.stub.Read(provider_pb2.ReadRequest(urn=urn, id="/a", properties=created.properties))
    assert decode(read.properties)["value"] == "hunter2"


@pytest.mark.parametrize(("times", "passes"), [(3, True), (9, False)])
def test_a_throttled_operation_is_tried_again_until_patience_ends(tmp_path: Path, times: int, passes: bool) -> None:
    with cloud(tmp_path, Fault("throttled", times=times)) as aws:
        if passes:
            assert aws.create(BUCKET, "store", bucket="mlops-store")
        else:
            with pytest.raises(Refused, match="Rate exceeded"):
                aws.create(BUCKET, "store", bucket="mlops-store")


def test_the_nth_creation_fails_and_leaves_nothing(tmp_path: Path) -> None:
    with cloud(tmp_path, Fault("fails", type="aws:s3/*", at=2, message="ServiceUnavailable")) as aws:
        aws.create(BUCKET, "one", bucket="mlops-one")
        with pytest.raises(Refused, match="ServiceUnavailable"):
            aws.create(BUCKET, "two", bucket="mlops-two")
        aws.create(BUCKET, "two", bucket="mlops-two")


def test_a_provider_that_dies_after_the_creation_leaves_an_orphan(tmp_path: Path) -> None:
    with cloud(tmp_path, Fault("dies", when="after")) as aws, pytest.raises(Refused):
        aws.create(BUCKET, "store", bucket="mlops-store")
    with cloud(tmp_path) as aws:
        assert aws.read(BUCKET, "store", "mlops-store")


def test_functions_know_the_account(aws: Cloud) -> None:
    assert aws.invoke("index/getCallerIdentity:getCallerIdentity")["accountId"] == "123456789012"
    assert aws.invoke("index/getAvailabilityZones:getAvailabilityZones")["names"][0] == "eu-central-1a"
    aws.create(BUCKET, "store", bucket="mlops-store")
    found = aws.invoke("s3/getBucket:getBucket", bucket="mlops-store")
    assert found["arn"] == "arn:aws:s3:::mlops-store"


def test_stacks_of_one_account_see_each_others_things_and_share_its_names(aws: Cloud) -> None:
    aws.create("sns/topic:Topic", "alerts", name="alerts")
    other = aws.on("another-stack")
    assert other.invoke("sns/getTopic:getTopic", name="alerts")
    given = {"comparisonOperator": "GreaterThanThreshold", "evaluationPeriods": 1, "threshold": 1, "period": 60}
    given |= {"namespace": "mlops", "metricName": "errors", "statistic": "Sum"}
    arn = "arn:aws:sns:eu-central-1:123456789012:alerts"
    other.create("cloudwatch/metricAlarm:MetricAlarm", "errors", name="errors", alarmActions=[arn], **given)
    with pytest.raises(Refused, match="taken"):
        other.create("sns/topic:Topic", "alerts", name="alerts")


def test_stacks_of_two_accounts_share_only_what_is_unique_in_the_world(aws: Cloud) -> None:
    aws.create("sns/topic:Topic", "alerts", name="alerts")
    aws.create(BUCKET, "store", bucket="mlops-store")
    other = aws.on("another-stack")
    other.configure({"region": "eu-central-1", "allowedAccountIds": json.dumps(["210987654321"])})
    other.create("sns/topic:Topic", "alerts", name="alerts")
    with pytest.raises(Refused, match="taken"):
        other.create(BUCKET, "store", bucket="mlops-store")


def test_a_preview_knows_what_can_not_fit_into_a_network_that_has_no_id_yet(aws: Cloud) -> None:
    aws.plan("ec2/vpc:Vpc", "vpc", cidrBlock="10.0.0.0/16")
    aws.plan("ec2/subnet:Subnet", "a", vpcId=UNKNOWN, cidrBlock="10.0.0.0/24")
    with pytest.raises(Refused, match=r"10\.1\.0\.0/24 is not inside 10\.0\.0\.0/16"):
        aws.plan("ec2/subnet:Subnet", "b", vpcId=UNKNOWN, cidrBlock="10.1.0.0/24")
    with pytest.raises(Refused, match=r"10\.0\.0\.128/25 overlaps 10\.0\.0\.0/24"):
        aws.plan("ec2/subnet:Subnet", "c", vpcId=UNKNOWN, cidrBlock="10.0.0.128/25")
    aws.plan("ec2/vpc:Vpc", "other", cidrBlock="10.1.0.0/16")
    aws.plan("ec2/subnet:Subnet", "d", vpcId=UNKNOWN, cidrBlock="10.1.0.0/24")
